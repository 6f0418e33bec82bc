"""Offline verification of one epoch's log: what a stranger with the public key can find out (pure).

    hashes ── every record hashes to its leaf, stands at its index, holds one park, gateway and epoch
    notes ─── checkpoints and receipts: signatures, origin, roots, rollback, forks, what is not covered, late witnesses
    rules ─── contract.rules: one answer a slot, revisions, intervals and totals that recompute

Bytes are hashed first and parsed afterwards. Bodies that were given up are None: their leaves still stand in the
tree, and a `pruned` record must name them. Findings say «changed», never «wrong»: what was recorded falsely and never
altered cannot be found here.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from decimal import localcontext
from typing import Any, NamedTuple

from contract import note, records, tree
from contract.energy import EXACT
from contract.eras import PeriodsOf
from contract.rules import Rules
from contract.slot_rules import DecodeReading
from contract.tariff import period_finder

LATE_WITNESS_S = 86_400  # a day unwitnessed is a day in which the key's holder could have written another history
MAX_A_CODE = 1_000  # findings listed of one code; the rest is counted
_NO_TIME = -1
_WITNESS_BYTES = 72  # seconds and signature


class Finding(NamedTuple):
    """Something that does not hold. `seq`: the first index concerned, None where no index can be named."""

    code: str
    seq: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A log as it was kept or exported.

    records: bodies in order; None keeps the place of one that was given up, places may also be left out.
    leaves: hashes of all leaves, 32 bytes each; None: there are only the records.
    checkpoints, receipts: signed notes in the order in which they were made.
    absent: without `leaves`, the hashes of places whose body is None, where they are known.
    pruned: ranges of this epoch that `pruned` records of later epochs name, both ends included.
    """

    records: Iterable[bytes | None]
    leaves: Sequence[bytes] | None
    checkpoints: Sequence[str]
    receipts: Sequence[str]
    absent: Mapping[int, bytes] = field(default_factory=dict)
    pruned: Sequence[tuple[int, int]] = ()


@dataclass(slots=True)
class Findings:
    """Collects findings; keeps the first ones of each code and counts the rest."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    first_bad: int | None = None

    def add(self, code: str, seq: int | None, text: str) -> None:
        self.counts[code] += 1
        if seq is not None and (self.first_bad is None or seq < self.first_bad):
            self.first_bad = seq
        if self.counts[code] <= MAX_A_CODE:
            self.kept.append(Finding(code, seq, text))

    def listed(self) -> list[Finding]:
        """In order of index, those without one first, and what was only counted."""
        more = [
            Finding(code, None, f"{count - MAX_A_CODE} more")
            for code, count in self.counts.items()
            if count > MAX_A_CODE
        ]
        return sorted(self.kept + more, key=lambda finding: (finding.seq is not None, finding.seq or 0))


def verify(
    evidence: Evidence,
    key: bytes,
    *,
    name: str | None = None,
    auditors: Sequence[str] = (),
    decode_reading: DecodeReading | None = None,
    periods_of: PeriodsOf = period_finder,
    late_s: int = LATE_WITNESS_S,
) -> dict[str, Any]:
    """The result of `hubiao verify --json`: {ok, epoch, size, first_bad, findings: [{code, seq, text}]}.

    key: the gateway's raw public key. name: the origin that is expected (None: whatever the records say).
    auditors: verifier keys of those whose receipts count; without any, cosignatures are not checked.
    decode_reading: see slot_rules.DecodeReading; without it raw frames are taken as they are.
    periods_of: see eras.PeriodsOf; the usual one takes schedules from the `data` beside their text.
    """
    findings = Findings()
    walk = _Walk(evidence, findings, Rules(findings.add, decode_reading, periods_of))
    with localcontext(EXACT):
        walk.run()
    _Notes(walk, key, name, auditors, late_s).run(evidence.checkpoints, evidence.receipts)
    return {
        "ok": not findings.kept,
        "epoch": walk.epoch,
        "size": len(walk.leaves),
        "first_bad": findings.first_bad,
        "findings": [finding._asdict() for finding in findings.listed()],
    }


def pruned_of(raw: Mapping[str, Any], epoch: str) -> list[tuple[int, int]]:
    """The ranges of an epoch that a `pruned` record names, none if it is about another."""
    if raw.get("of_epoch", raw["epoch"]) != epoch:
        return []
    return [(int(first), int(last)) for first, last in raw["ranges"]]


class _Walk:
    """The records in order: bytes against leaves, heads against each other, bodies against the rules."""

    def __init__(self, evidence: Evidence, findings: Findings, rules: Rules) -> None:
        self.findings, self.rules = findings, rules
        self.leaves: list[bytes] = []
        self.times = array("q")  # `at` of each index in ms, _NO_TIME where there is none
        self.receipts: list[str] = []  # in `witness` records
        self.altered: list[int] = []  # indexes whose bytes are not those of the leaf
        self.unknown: int | None = None  # the first index of which not even the hash is there
        self.identity: tuple[Any, Any, Any] | None = None
        self._evidence = evidence
        self._config = ""
        self._absent: list[int] = []
        self._pruned = list(evidence.pruned)

    @property
    def epoch(self) -> str | None:
        return None if self.identity is None else str(self.identity[2])

    @property
    def origin(self) -> str | None:
        return None if self.identity is None else note.origin(*map(str, self.identity))

    def run(self) -> None:
        for seq, record in self._placed():
            self.times.append(_NO_TIME)
            if record is None:
                self._absent.append(seq)
                self.rules.absent(seq)
            else:
                self._record(seq, record)
        self._holes()
        self.rules.finish()

    def _placed(self) -> Iterator[tuple[int, bytes | None]]:
        """Each record at the index where its hash belongs; None where nothing came. Fills `leaves` as it goes."""
        known = self._evidence.leaves
        if known is None:
            for seq, record in enumerate(self._evidence.records):
                leaf = tree.leaf_hash(record) if record else self._evidence.absent.get(seq)
                if leaf is None and self.unknown is None:
                    self.unknown = seq
                self.leaves.append(leaf or bytes(tree.HASH_BYTES))
                yield seq, record or None
            return
        self.leaves = list(known)
        place_of: dict[bytes, int] = {}
        at = 0
        for record in self._evidence.records:
            if record is None:
                if at < len(known):
                    yield at, None
                at += 1
                continue
            leaf = tree.leaf_hash(record)
            place = at
            if at >= len(known) or leaf != known[at]:
                place_of = place_of or {leaf: i for i, leaf in reversed(list(enumerate(known)))}
                place = place_of.get(leaf, at)
            if place < at:
                self.findings.add("order", place, f"record {place} stands again behind record {at - 1}")
                continue
            if place >= len(known):
                self.findings.add("extra", at, f"record {at} has no leaf hash")
                continue
            for hole in range(at, place):
                yield hole, None
            if leaf != known[place]:
                self.altered.append(place)
                self.findings.add("hash", place, f"the bytes of record {place} are not those of its leaf")
            yield place, record
            at = place + 1
        for hole in range(at, len(known)):
            yield hole, None

    def _record(self, seq: int, record: bytes) -> None:
        try:
            raw = _DECODER.decode(record.decode())
            kind = raw["kind"] if isinstance(raw, dict) else None
            required = _REQUIRED.get(kind) if isinstance(kind, str) else None
            if required is None or raw.get("v") != 1:
                self.findings.add("malformed", seq, f"record {seq} is of no kind of version 1")
                return
            if not required <= raw.keys():
                missing = ", ".join(sorted(required - raw.keys()))
                self.findings.add("malformed", seq, f"record {seq}: {missing} missing")
                return
            if _ENCODER.encode(raw).encode() != record:
                self.findings.add("form", seq, f"record {seq} is not in canonical form")
            self._head(seq, raw)
            self._body(seq, raw)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
            self.findings.add("malformed", seq, f"record {seq}: {type(error).__name__}: {error}")

    def _head(self, seq: int, raw: Mapping[str, Any]) -> None:
        if raw["seq"] != seq or type(raw["seq"]) is not int:
            self.findings.add("seq", seq, f"record {seq} says it is {raw['seq']!r}")
        identity = (raw["park"], raw["gateway"], raw["epoch"])
        if self.identity is None:
            self.identity = identity
        elif identity != self.identity:
            self.findings.add("identity", seq, f"record {seq} is of {'/'.join(map(str, identity))}")
        if raw["config"] != self._config:
            self.findings.add("config", seq, f"record {seq} does not name the configuration in force")
        if (raw["at"] is None) != (raw["clock"] == "none"):
            self.findings.add("clock", seq, f"record {seq}: at {raw['at']}, clock {raw['clock']}")
        if raw["at"] is not None:
            self.times[-1] = records.parse_instant(raw["at"])

    def _body(self, seq: int, raw: Mapping[str, Any]) -> None:
        kind = raw["kind"]
        if kind == "config":
            self._config = self.leaves[seq].hex()
        elif kind == "witness":
            self.receipts.append(raw["receipt"])
            size = note.parse_checkpoint(note.parse_note(raw["receipt"])[0]).size
            if size != raw["size"] or size > seq:
                self.findings.add("receipt", seq, f"witness record {seq}: a receipt of size {size}")
        elif kind == "pruned":
            self._pruned += pruned_of(raw, str(raw["epoch"]))
        self.rules.record(seq, self.times[-1], raw)

    def _holes(self) -> None:
        """Absent bodies that no `pruned` record names, in stretches."""
        named = sorted(self._pruned)
        start = previous = None
        at = 0
        for seq in self._absent:
            while at < len(named) and named[at][1] < seq:
                at += 1
            if at < len(named) and named[at][0] <= seq:
                continue
            if start is None or previous is None or seq != previous + 1:
                if start is not None:
                    self._hole(start, previous)
                start = seq
            previous = seq
        if start is not None:
            self._hole(start, previous)

    def _hole(self, first: int, last: int | None) -> None:
        text = f"record {first} is missing" if first == last else f"records {first} to {last} are missing"
        self.findings.add("hole", first, text)


class _Notes:
    """Checkpoints and receipts against the tree."""

    def __init__(self, walk: _Walk, key: bytes, name: str | None, auditors: Sequence[str], late_s: int) -> None:
        self._walk, self._findings = walk, walk.findings
        self._origin = name or walk.origin
        self._key = key
        self._auditors = [note.parse_verifier_key(auditor) for auditor in auditors]
        self._late_s = late_s
        self._good = [0]  # sizes whose signed roots are those of the leaves
        self._seen = [0]  # those of them that an auditor witnessed
        self._ours: frozenset[note.Checkpoint] = frozenset()

    def run(self, checkpoints: Sequence[str], receipts: Sequence[str]) -> None:
        if self._origin != self._walk.origin and self._walk.origin is not None:
            self._findings.add("origin", None, f"the key is for {self._origin}, the records are of {self._walk.origin}")
        signed = [c for n, text in enumerate(checkpoints) if (c := self._signed(text, "checkpoint", f"checkpoint {n}"))]
        receipts = list(dict.fromkeys([*receipts, *self._walk.receipts]))
        witnessed = []
        for n, text in enumerate(receipts):
            checkpoint = self._signed(text, "receipt", f"receipt {n}")
            seconds = self._cosigned(text, n)
            if checkpoint is not None and seconds is not None:
                witnessed.append((checkpoint, seconds))
        everything = signed + [checkpoint for checkpoint, _ in witnessed]
        roots = _roots(self._walk.leaves, {checkpoint.size for checkpoint in everything})
        self._good += sorted({c.size for c in everything if roots.get(c.size) == c.root})
        self._ours = frozenset(signed)
        self._seen += sorted({c.size for c, _ in witnessed if roots.get(c.size) == c.root})
        self._order(signed)
        self._compare(signed, roots, "root", "checkpoint")
        self._compare([checkpoint for checkpoint, _ in witnessed], roots, "receipt", "receipt")
        covered = max((checkpoint.size for checkpoint in everything), default=0)
        if len(self._walk.leaves) > covered:
            self._findings.add("unsigned", covered, f"no checkpoint covers record {covered} and what follows")
        self._delays(witnessed)

    def _signed(self, text: str, code: str, which: str) -> note.Checkpoint | None:
        """The checkpoint under the gateway's signature; None, reported, if it is another's."""
        try:
            found = note.parse_checkpoint(note.parse_note(text)[0])
            if self._origin is not None and found.origin != self._origin:
                self._findings.add("origin", None, f"{which} is of {found.origin}")
                return None
            return note.verify_checkpoint(text, note.verifier_key(found.origin, self._key))
        except note.NoteError as error:
            self._findings.add(code, None, f"{which}: {error}")
            return None

    def _cosigned(self, text: str, n: int) -> int | None:
        """POSIX seconds of a receipt: of a pinned auditor, or unchecked where none is pinned."""
        try:
            _, signatures = note.parse_note(text)
            for auditor in self._auditors:
                if any(signature.name == auditor.name for signature in signatures):
                    return note.verify_cosignature(text, str(auditor))[1]
        except note.NoteError as error:
            self._findings.add("receipt", None, f"receipt {n}: {error}")
            return None
        others = [s for s in signatures if s.name != self._origin and len(s.signature) == _WITNESS_BYTES]
        if self._auditors or not others:
            self._findings.add("receipt", None, f"receipt {n} bears no auditor's signature")
            return None
        return int.from_bytes(others[0].signature[:8], "big")

    def _order(self, signed: Sequence[note.Checkpoint]) -> None:
        largest = 0
        roots: dict[int, bytes] = {}
        for checkpoint in signed:
            if checkpoint.size < largest:
                text = f"a checkpoint of size {checkpoint.size} after one of size {largest}"
                self._findings.add("rollback", checkpoint.size, text)
            largest = max(largest, checkpoint.size)
            if roots.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
                text = f"two checkpoints of size {checkpoint.size} with different roots"
                self._findings.add("fork", self._first_in_doubt(checkpoint), text)

    def _compare(self, made: Sequence[note.Checkpoint], roots: Mapping[int, bytes], code: str, what: str) -> None:
        """Roots against the tree, as far as its leaves are known."""
        size = len(self._walk.leaves)
        known = size if self._walk.unknown is None else self._walk.unknown
        for checkpoint in made:
            if checkpoint.size > size:
                text = f"a {what} of size {checkpoint.size}, but there are {size} records"
                self._findings.add("truncated", size, text)
            elif checkpoint.size <= known and roots[checkpoint.size] != checkpoint.root:
                first = self._first_in_doubt(checkpoint)
                text = f"the {what} of size {checkpoint.size} has another root; changed between {first} and its end"
                self._findings.add(code, first, text)

    def _first_in_doubt(self, checkpoint: note.Checkpoint) -> int:
        """The first index that can differ: the one that is known to, or the first above the last good root.

        Where an auditor saw a checkpoint that is not among ours, ours may have been signed anew since: then only what
        auditors saw counts as good.
        """
        good = self._good if checkpoint in self._ours else self._seen
        low = max(size for size in good if size < checkpoint.size)
        return min((seq for seq in self._walk.altered if low <= seq < checkpoint.size), default=low)

    def _delays(self, witnessed: Sequence[tuple[note.Checkpoint, int]]) -> None:
        covered = 0
        for checkpoint, seconds in sorted(witnessed, key=lambda item: (item[0].size, item[1])):
            times = self._walk.times[covered : checkpoint.size]
            oldest = next(((covered + i, at) for i, at in enumerate(times) if at != _NO_TIME), None)
            if oldest is not None and seconds * 1000 - oldest[1] > self._late_s * 1000:
                hours = (seconds * 1000 - oldest[1]) // 3_600_000
                self._findings.add("late_witness", oldest[0], f"record {oldest[0]} was witnessed {hours} h after it")
            covered = max(covered, checkpoint.size)


def _roots(leaves: Sequence[bytes], sizes: set[int]) -> dict[int, bytes]:
    """Root of the first n leaves for each n asked for that is not beyond them."""
    frontier = tree.Frontier()
    roots = {0: frontier.root()}
    for leaf in leaves:
        frontier.append(leaf)
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
    return roots


def _no_float(text: str) -> Any:
    raise ValueError(f"a number that is no integer: {text}")


def _required(kind: type[Any]) -> frozenset[str]:
    return frozenset(
        records.wire_name(item.name)
        for item in (*fields(records.Head), *fields(kind))
        if item.default is MISSING and item.default_factory is MISSING
    )


_DECODER = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)
_REQUIRED = {name: _required(kind) for name, kind in records.KINDS.items()}
