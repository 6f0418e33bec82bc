"""An honest log in copies that may be spoiled, and who judges them: what the lists of manipulations work with."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nacl.signing import SigningKey

from agent.cli.verify import open_evidence
from agent.evidence.log import Identity, Log
from agent.evidence.opening import open_log
from agent.evidence.receipts import pinned
from agent.evidence.store import DATABASE, Store
from audit.periods import periods_from_texts
from bench.evidence_auditor import AUDITOR_VKEY, KEY
from bench.evidence_verify import make
from contract import note, tree
from contract.records import canonical
from contract.verify import Evidence, verify
from drivers.clock import VirtualClock
from drivers.redecode import Redecoder

METERS, DAYS, SEED = 6, 1, 1
WITNESS_EVERY = 40  # sweeps; what is behind the second receipt nobody has witnessed
LATER_MS = 1_784_000_000_000  # hours after the log's end
STRANGER = SigningKey(bytes(range(64, 96)))
PUBLIC = note.public_raw(KEY)


class Found(NamedTuple):
    """What a verifier said: codes, and the lowest index."""

    codes: set[str]
    first_bad: int | None


@dataclass
class Case:
    """A copy of the honest log: the store's directory, and its evidence in memory."""

    data: Path
    vkey: str
    records: list[bytes]
    checkpoints: list[str]
    receipts: list[str]
    hashes: list[bytes]
    public: bytes = PUBLIC
    name: str | None = None  # the origin that whoever verifies expects
    found: Found | None = None  # by scenes that judge themselves
    told: list[Any] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return note.parse_verifier_key(self.vkey).name

    @property
    def sizes(self) -> list[int]:
        return [point(text).size for text in self.checkpoints]

    @property
    def witnessed(self) -> int:
        return max(point(text).size for text in self.receipts)

    def raw(self, seq: int) -> Any:
        return json.loads(self.records[seq])

    def find(self, kind: str, after: int = 0, **wanted: Any) -> int:
        """The first record of a kind at or after an index with these fields."""
        for seq in range(after, len(self.records)):
            raw = self.raw(seq)
            if raw["kind"] == kind and all(raw[name] == value for name, value in wanted.items()):
                return seq
        raise LookupError(f"no {kind} with {wanted}")

    def put(self, seq: int, /, **changes: Any) -> int:
        """Other fields in a record; its hash is left as it was."""
        self.records[seq] = canonical({**self.raw(seq), **changes})
        return seq

    def resign(self, key: SigningKey = KEY) -> None:
        """Hashes and checkpoints made anew, as the key's holder can; receipts he cannot make."""
        self.hashes = [tree.leaf_hash(record) for record in self.records]
        made = []
        for size in dict.fromkeys(min(size, len(self.records)) for size in self.sizes):
            root = tree.root_of(self.hashes[:size])
            made.append(note.sign_checkpoint(key, note.Checkpoint(self.origin, size, root)))
        self.checkpoints = made

    def execute(self, sql: str, *arguments: object) -> None:
        """One statement in the store's database."""
        with self.sql() as db:
            db.execute(sql, arguments)

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        with sqlite3.connect(self.data / DATABASE) as db:
            yield db
        db.close()


class Scene(NamedTuple):
    """One manipulation: `act` does it and says where it must be found. code: "" for a harmless one."""

    area: str
    name: str
    code: str
    act: Callable[[Case], int | None]
    judge: Callable[[Case], Found]


def scenes(area: str, judge: Callable[[Case], Found], into: list[Scene]) -> Callable[..., Any]:
    """A decorator for the manipulations of an area: name, code that must be among the findings."""

    def named(name: str, code: str) -> Callable[[Callable[[Case], int | None]], Callable[[Case], int | None]]:
        def add(act: Callable[[Case], int | None]) -> Callable[[Case], int | None]:
            into.append(Scene(area, name, code, act, judge))
            return act

        return add

    return named


def point(text: str) -> note.Checkpoint:
    return note.parse_checkpoint(note.parse_note(text)[0])


def last_good(sizes: list[int], seq: int) -> int:
    """The largest size at or below an index: as near as roots can tell where a change is."""
    return max((size for size in sizes if size <= seq), default=0)


def by_evidence(case: Case) -> Found:
    """`hubiao verify` of an export."""
    return _judged(Evidence(list(case.records), list(case.hashes), case.checkpoints, case.receipts), case)


def by_evidence_anew(case: Case) -> Found:
    """The same, with hashes and checkpoints made anew."""
    case.resign()
    return by_evidence(case)


def by_store(case: Case) -> Found:
    """`hubiao verify` of the store itself."""
    return _judged(open_evidence(case.data), case)


def lived(case: Case, action: Callable[[Log], Awaitable[Found]], key: SigningKey = KEY) -> None:
    """A life of the agent's log on the case's store, hours later; what the scene found out in it."""

    async def main() -> None:
        clock = VirtualClock(LATER_MS)
        opened = Store(case.data, clock.hold)
        log = await open_log(opened, Identity("month", "gw-1", "0.1.0"), clock, key, pinned([AUDITOR_VKEY]))
        try:
            case.found = await action(log)
        finally:
            await log.close()
            await opened.close()

    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(main())
    finally:
        logging.disable(logging.NOTSET)


def by_itself(case: Case) -> Found:
    """What the scene found out by itself."""
    assert case.found is not None
    return case.found


def _judged(evidence: Evidence, case: Case) -> Found:
    result = verify(
        evidence,
        case.public,
        name=case.name,
        auditors=[AUDITOR_VKEY],
        decode_reading=Redecoder(),
        periods_of=periods_from_texts,
    )
    return Found({finding["code"] for finding in result["findings"]}, result["first_bad"])


def honest(place: Path) -> Case:
    """The log that everything is done to."""
    made = make(place, METERS, DAYS, SEED, witness_every=WITNESS_EVERY)
    evidence = open_evidence(place)
    records = [record for record in evidence.records if record is not None]
    leaves = [tree.leaf_hash(record) for record in records]
    case = Case(place, made["vkey"], records, list(evidence.checkpoints), list(evidence.receipts), leaves)
    found = by_evidence(case)
    assert not found.codes, found
    return case


def copy_of(base: Case, place: Path) -> Case:
    shutil.copytree(base.data, place, ignore=shutil.ignore_patterns("ballast"))
    lists = (list(base.records), list(base.checkpoints), list(base.receipts), list(base.hashes))
    return Case(place, base.vkey, *lists)
