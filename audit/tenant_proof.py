"""A tenant's own records with what proves them, for `static/verify.html` to check in a browser (reads the store).

    own intervals ────────────────────┐
    others: roots of the largest      ├─▶ root = that of a checkpoint ─▶ signature of the gateway
    subtrees without an own interval ─┘

Nobody else's record is in it, only hashes. It proves energies; amounts of money are the report's, and unsigned.
"""

from __future__ import annotations

import base64
import hashlib
import json
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from audit.park_evidence import Days, ParkEvidence
from audit.rows import LogId
from audit.store import Store
from contract import note
from contract.tree import leaf_hash, node_hash

FORM = "hubiao-tenant-proof-1"
_FINGERPRINT_BYTES = 16  # as `hubiao key show` prints it
_SPAN = ("meter", "from", "to", "start", "end", "multiplier", "share", "kwh")


class Tree:
    """The Merkle tree of RFC 9162 over some leaves, with the roots of all complete subtrees at hand."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(below := self._levels[-1]) > 1:
            self._levels.append([node_hash(*below[i : i + 2]) for i in range(0, len(below) - 1, 2)])

    def root(self, low: int, high: int) -> bytes:
        """Of the leaves `[low, high)`, which must be a subtree of the tree."""
        size = high - low
        if size & (size - 1) == 0:
            return self._levels[size.bit_length() - 1][low // size]
        middle = low + _split(size)
        return node_hash(self.root(low, middle), self.root(middle, high))

    def others(self, own: Sequence[int], size: int) -> list[bytes]:
        """What a holder of the leaves `own` (in order) lacks to get the root of `size` leaves, left to right."""
        found: list[bytes] = []

        def walk(low: int, high: int) -> None:
            at = bisect_left(own, low)
            if at == len(own) or own[at] >= high:
                found.append(self.root(low, high))
            elif high - low > 1:
                middle = low + _split(high - low)
                walk(low, middle)
                walk(middle, high)

        walk(0, size)
        return found


class Prover:
    """Makes proofs for the tenants of one park; each log is read once.

    rows: the tenants' rows of the report that have energy, each over its own days.
    """

    def __init__(self, store: Store, evidence: ParkEvidence, rows: Sequence[Mapping[str, Any]]) -> None:
        self._store, self._evidence = store, evidence
        self._own = {row["tenant"]: evidence.own_intervals(row["tenant"], _days(row)) for row in rows}
        wanted: dict[LogId, set[int]] = {}
        for own in self._own.values():
            for which, seqs in own.items():
                wanted.setdefault(which, set()).update(seqs)
        self._bodies: dict[tuple[LogId, int], bytes] = {}
        self._trees = {which: self._read(which, seqs) for which, seqs in wanted.items()}

    def proof(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The document for a tenant's row of the report. `figures`: what the report says, to be compared."""
        logs = []
        for which, seqs in self._own[row["tenant"]].items():
            checkpoint, others = self._tie(which, seqs)
            logs.append(
                {
                    "gateway": which.gateway,
                    "epoch": which.epoch,
                    "key": self._store.key(which),
                    "checkpoint": checkpoint,
                    "others": [leaf.hex() for leaf in others],
                    "records": [self._bodies[which, seq].decode() for seq in seqs],
                }
            )
        start, end = self._evidence.bounds(_days(row))
        names = ("energy_kwh", "periods", "allowed_yuan", "charged_yuan")
        registers = [{name: span[name] for name in _SPAN} for span in row["registers"]]
        return {
            "form": FORM,
            "park": self._evidence.park,
            "tenant": row["tenant"],
            "start_s": start,
            "end_s": end,
            "utc_offset_s": self._evidence.offset_s,
            "figures": {"registers": registers, **{name: row[name] for name in names}},
            "logs": logs,
        }

    def _tie(self, which: LogId, seqs: Sequence[int]) -> tuple[str | None, list[bytes]]:
        """The oldest checkpoint above all of them, and what ties them to it; None where the store has none."""
        tree, checkpoints = self._trees[which]
        for text, checkpoint in checkpoints:
            if checkpoint.size > seqs[-1]:
                return text, tree.others(seqs, checkpoint.size)
        return None, []

    def _read(self, which: LogId, seqs: Collection[int]) -> tuple[Tree, list[tuple[str, note.Checkpoint]]]:
        """The tree as far as its leaves are known without a hole, and the checkpoints that it bears out."""
        known = self._store.hashes(which)
        for row in self._store.log(which).rows():
            if not row.fork:
                known[row.seq] = leaf_hash(row.body)
                if row.seq in seqs:
                    self._bodies[which, row.seq] = row.body
        leaves: list[bytes] = []
        while (leaf := known.get(len(leaves))) is not None:
            leaves.append(leaf)
        tree, good = Tree(leaves), []
        for text in self._store.notes(which, "checkpoints"):
            try:
                checkpoint = note.parse_checkpoint(note.parse_note(text)[0])
            except note.NoteError:
                continue  # verification names it
            if 0 < checkpoint.size <= len(leaves) and tree.root(0, checkpoint.size) == checkpoint.root:
                good.append((text, checkpoint))
        return tree, good


def _days(row: Mapping[str, Any]) -> Days:
    return date.fromisoformat(row["from"]), date.fromisoformat(row["to"])


def file_text(proof: Mapping[str, Any]) -> str:
    """As it is handed to the tenant."""
    return json.dumps(proof, ensure_ascii=False, indent=0, sort_keys=True) + "\n"


def fingerprint(key: str) -> str:
    """What people compare of a raw public key in base64: 32 hex digits."""
    return hashlib.sha256(base64.b64decode(key)).digest()[:_FINGERPRINT_BYTES].hex()


def _split(size: int) -> int:
    """The largest power of two below `size`: where RFC 9162 parts a tree."""
    return 1 << (size - 1).bit_length() - 1
