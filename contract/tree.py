"""The Merkle tree over a log (RFC 9162 §2.1): leaf and node hashes, the growing root, inclusion and consistency proofs.

    leaf = SHA-256(00 ‖ record bytes)      node = SHA-256(01 ‖ left ‖ right)      root of nothing = SHA-256()

`Frontier` is what a writer keeps: the roots of the complete subtrees that the log splits into, largest first, one for
each bit set in its size. Appending costs O(log n) at worst. Proofs are made from the list of all leaf hashes and
checked without it. Hashes are 32 raw bytes. This module stores nothing and signs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
_SIZE_BYTES = 8


class TreeError(ValueError):
    """A frontier, size or index that fits no tree."""


def leaf_hash(record: bytes) -> bytes:
    """The hash of a record's bytes as they stand in the log."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The compact range of a log: `size` leaves as the roots of its complete subtrees, largest first."""

    __slots__ = ("_nodes", "_size")

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._size = 0

    @property
    def size(self) -> int:
        return self._size

    def append(self, leaf: bytes) -> None:
        """Adds a leaf by its hash."""
        node, size = leaf, self._size
        while size & 1:  # each low bit is a complete subtree as large as the one just completed
            node = node_hash(self._nodes.pop(), node)
            size >>= 1
        self._nodes.append(node)
        self._size += 1

    def root(self) -> bytes:
        """The root of the leaves so far."""
        if not self._nodes:
            return EMPTY_ROOT
        node = self._nodes[-1]
        for left in reversed(self._nodes[:-1]):
            node = node_hash(left, node)
        return node

    def copy(self) -> Frontier:
        """A frontier that grows on its own."""
        twin = Frontier()
        twin._nodes, twin._size = list(self._nodes), self._size
        return twin

    def to_bytes(self) -> bytes:
        """Size, 8 bytes big-endian, then the subtree roots, largest first."""
        return self._size.to_bytes(_SIZE_BYTES, "big") + b"".join(self._nodes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        """Reads `to_bytes` back. Raises TreeError where the length does not fit the size."""
        size = int.from_bytes(data[:_SIZE_BYTES], "big")
        if len(data) != _SIZE_BYTES + HASH_BYTES * size.bit_count():
            raise TreeError(f"{len(data)} bytes are no frontier of {size} leaves")
        frontier = cls()
        frontier._size = size
        frontier._nodes = [data[i : i + HASH_BYTES] for i in range(_SIZE_BYTES, len(data), HASH_BYTES)]
        return frontier


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of a list of leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `leaves`, from the leaf upward. Raises TreeError."""
    if not 0 <= index < len(leaves):
        raise TreeError(f"no leaf {index} in a tree of {len(leaves)}")
    low, high, path = 0, len(leaves), []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low = middle
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` ties the leaf hash at `index` to the root of `size` leaves (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, node = index, size - 1, leaf
    for step in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = node_hash(step, node)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = node_hash(node, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and node == root


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """What shows that the first `old` leaves are the beginning of the tree of `leaves` (RFC 9162 §2.1.4.1).

    Raises TreeError unless 0 < old ≤ len(leaves).
    """
    if not 0 < old <= len(leaves):
        raise TreeError(f"no tree of {old} within a tree of {len(leaves)}")
    low, high, path = 0, len(leaves), []
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low = middle
    if low:  # else the verifier knows this subtree: it is the old root
        path.append(root_of(leaves[low:high]))
    return path[::-1]


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `old` leaves is the beginning of the tree of `new` leaves (RFC 9162 §2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    path = list(proof)
    if not old & (old - 1):
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    before = after = path[0]
    for step in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            before, after = node_hash(step, before), node_hash(step, after)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            after = node_hash(after, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and before == old_root and after == new_root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
