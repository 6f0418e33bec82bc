"""The Merkle tree against the certificate-transparency vectors and a naive recursion."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import tree

# The leaf inputs and roots that the certificate-transparency implementations share (merkletree tests, RFC 6962).
INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [tree.leaf_hash(bytes.fromhex(text)) for text in INPUTS]


def naive_root(records: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word, from the records."""
    if not records:
        return hashlib.sha256().digest()
    if len(records) == 1:
        return hashlib.sha256(b"\x00" + records[0]).digest()
    k = 1
    while k * 2 < len(records):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(records[:k]) + naive_root(records[k:])).digest()


def records(count: int) -> list[bytes]:
    return [b"record %d" % i for i in range(count)]


def leaves(count: int) -> list[bytes]:
    return [tree.leaf_hash(record) for record in records(count)]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots_come_out(size: int) -> None:
    assert tree.root_of(LEAVES[:size]).hex() == ROOTS[size - 1]
    assert naive_root([bytes.fromhex(text) for text in INPUTS[:size]]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert tree.Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_published_inclusion_proof_comes_out() -> None:
    proof = [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]
    assert [step.hex() for step in tree.inclusion_proof(LEAVES[:5], 4)] == [ROOTS[3]]
    assert [step.hex() for step in tree.consistency_proof(LEAVES[:5], 2)] == proof


def test_the_published_consistency_proof_comes_out() -> None:
    proof = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [step.hex() for step in tree.consistency_proof(LEAVES, 6)] == proof
    raw = [bytes.fromhex(step) for step in proof]
    assert tree.verify_consistency(6, bytes.fromhex(ROOTS[5]), 8, bytes.fromhex(ROOTS[7]), raw)
    assert not tree.verify_consistency(6, bytes.fromhex(ROOTS[4]), 8, bytes.fromhex(ROOTS[7]), raw)


@given(st.integers(0, 300))
@settings(deadline=None, max_examples=60)
def test_a_frontier_agrees_with_the_naive_tree_and_survives_its_bytes(size: int) -> None:
    frontier = tree.Frontier()
    for leaf in leaves(size):
        frontier = tree.Frontier.from_bytes(frontier.to_bytes())
        frontier.append(leaf)
    assert frontier.size == size
    assert frontier.root() == naive_root(records(size)) == tree.root_of(leaves(size))


def test_a_copy_of_a_frontier_grows_alone() -> None:
    frontier = tree.Frontier()
    frontier.append(LEAVES[0])
    twin = frontier.copy()
    twin.append(LEAVES[1])
    assert (frontier.root().hex(), twin.root().hex()) == (ROOTS[0], ROOTS[1])


@given(st.binary(max_size=120))
def test_bytes_that_are_no_frontier_are_refused(data: bytes) -> None:
    try:
        frontier = tree.Frontier.from_bytes(data)
    except tree.TreeError:
        return
    assert frontier.to_bytes() == data


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 64, 65])
def test_every_leaf_is_proved_and_nothing_else_is(size: int) -> None:
    all_leaves, root = leaves(size), naive_root(records(size))
    for index, leaf in enumerate(all_leaves):
        proof = tree.inclusion_proof(all_leaves, index)
        assert tree.verify_inclusion(leaf, index, size, proof, root)
        assert not tree.verify_inclusion(tree.leaf_hash(b"other"), index, size, proof, root)
        assert not tree.verify_inclusion(leaf, index, size, [*proof, leaf], root)
        assert not tree.verify_inclusion(leaf, size, size, proof, root)
        if proof:
            assert not tree.verify_inclusion(leaf, index, size, proof[:-1], root)
            assert not tree.verify_inclusion(leaf, (index + 1) % size, size, proof, root)


@pytest.mark.parametrize("new", [*range(1, 18), 33])
def test_every_beginning_is_proved_and_no_other_history_is(new: int) -> None:
    all_leaves, new_root = leaves(new), naive_root(records(new))
    for old in range(1, new + 1):
        old_root = naive_root(records(old))
        proof = tree.consistency_proof(all_leaves, old)
        assert tree.verify_consistency(old, old_root, new, new_root, proof)
        assert not tree.verify_consistency(old, tree.leaf_hash(b"other"), new, new_root, proof)
        assert not tree.verify_consistency(old, old_root, new, tree.leaf_hash(b"other"), proof)
        assert not tree.verify_consistency(old, old_root, new, new_root, [*proof, old_root])
        if proof:
            assert not tree.verify_consistency(old, old_root, new, new_root, proof[:-1])
            assert not tree.verify_consistency(old, old_root, new, new_root, [bytes(32), *proof[1:]])


def test_proofs_of_what_is_not_there_are_refused() -> None:
    with pytest.raises(tree.TreeError):
        tree.inclusion_proof(LEAVES, 8)
    with pytest.raises(tree.TreeError):
        tree.consistency_proof(LEAVES, 0)
    with pytest.raises(tree.TreeError):
        tree.consistency_proof(LEAVES, 9)
    assert not tree.verify_consistency(9, LEAVES[0], 8, LEAVES[0], [])
    assert not tree.verify_inclusion(LEAVES[0], -1, 1, [], LEAVES[0])
