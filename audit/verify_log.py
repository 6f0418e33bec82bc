"""A log from its rows, in one pass: what `contract.verify` finds, forks, completeness by meter and slot (pure).

The same function runs in a process of this machine and in an executor of Spark; rows come in order of index and are
not kept. Readings are decoded again from their raw frames, tariff periods from the texts in the log.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from audit.periods import periods_from_texts
from audit.rows import LogId, Seen
from audit.succession import Life, LifeReader, in_order, successions
from contract.eras import GRACE_SLOTS
from contract.grid import parse_utc_offset
from contract.plan import Plan
from contract.tree import HASH_BYTES, leaf_hash
from contract.verify import Evidence, verify
from drivers.redecode import Redecoder

MAX_HOLE = 10_000_000  # an index further behind the last one is a forgery that would only cost memory
_QUESTIONS = {
    "epoch_unexplained": "a new epoch that names none before it, although this gateway had one",
    "epoch_twice": "another log names the same epoch before it: two boxes from one backup?",
}
_MAX_GAP_SLOTS = 3_601  # an hour at the shortest interval: the contract allows no longer gap


class Beside(NamedTuple):
    """What came beside a log's records.

    key: the gateway's raw public key in base64, if the auditor has it. pruned: ranges that the gateway's later logs
    name as given up in this one.
    """

    key: str | None
    checkpoints: list[str]
    receipts: list[str]
    hashes: dict[int, bytes]
    pruned: list[tuple[int, int]]


def verify_gateways(
    logs: Iterable[tuple[LogId, Iterable[Seen], Beside]], auditors: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Logs of a park, all of a gateway's one after the other: as `verify_log` gives them, and `follows`.

    `follows`: how a log follows from the gateway's log before (see audit.succession), null for the first.
    """
    verified = [verify_log(which, rows, beside, auditors) for which, rows, beside in logs]
    documents = {life.which: document for document, life in verified}
    for _, lives in groupby((life for _, life in verified), key=lambda life: life.which[:2]):
        _follow(in_order(list(lives)), documents)
    return list(documents.values())


def _follow(lives: list[Life], documents: Mapping[LogId, dict[str, Any]]) -> None:
    for life, follows in zip(lives, [None, *successions(lives)], strict=True):
        document = documents[life.which]
        document["follows"] = follows
        if follows is not None and follows["code"] is not None:
            document["ok"] = False
            document["first_bad"] = 0
            document["findings"].append({"code": follows["code"], "seq": 0, "text": _QUESTIONS[follows["code"]]})


def verify_log(
    which: LogId, rows: Iterable[Seen], beside: Beside, auditors: Sequence[str] = ()
) -> tuple[dict[str, Any], Life]:
    """{park, gateway, epoch, size, held, ok, key, first_bad, findings, completeness}, and the log's life.

    Without the gateway's key its signatures are not checked, and that is a finding.
    """
    key, hashes = beside.key, beside.hashes
    walk = _Walk(hashes)
    result = verify(
        Evidence(walk.bodies(rows), None, beside.checkpoints, beside.receipts, hashes, beside.pruned),
        bytes(HASH_BYTES) if key is None else base64.b64decode(key),
        auditors=auditors,
        decode_reading=Redecoder(),
        periods_of=periods_from_texts,
    )
    findings = list(result["findings"])
    if key is None:
        findings = [f for f in findings if f["code"] not in ("checkpoint", "receipt", "unsigned")]
        text = "no key of this gateway: its signatures were not checked (--key, from the gateway's `hubiao key show`)"
        findings.insert(0, {"code": "no_key", "seq": None, "text": text})
    findings += walk.findings()
    bad = [finding["seq"] for finding in findings if finding["seq"] is not None]
    document = {
        **which._asdict(),
        "size": result["size"],
        "held": walk.held,
        "ok": not findings,
        "key": key,
        "first_bad": min(bad, default=None),
        "findings": findings,
        "completeness": walk.completeness.rows(),
    }
    return document, walk.life.life(which)


class _Walk:
    """Hands the bodies on, None where there is none, and keeps count."""

    def __init__(self, hashes: Mapping[int, bytes]) -> None:
        self.held = 0
        self.completeness = Completeness()
        self.life = LifeReader()
        self._hashes = hashes
        self._forks: Counter[int] = Counter()
        self._others: list[int] = []  # indexes whose record is not that of the published hash
        self._stray: list[int] = []

    def bodies(self, rows: Iterable[Seen]) -> Iterator[bytes | None]:
        at = 0
        for row in rows:
            if row.fork:
                self._forks[row.seq] += 1
                continue
            if row.seq - at > MAX_HOLE:
                self._stray.append(row.seq)
                continue
            for _ in range(at, row.seq):
                yield None
            at = row.seq + 1
            self.held += 1
            if row.seq in self._hashes and self._hashes[row.seq] != leaf_hash(row.body):
                self._others.append(row.seq)
            self.completeness.take(row)
            self.life.take(row)
            yield row.body
        for _ in range(at, min(max(self._hashes, default=-1) + 1, at + MAX_HOLE)):
            yield None

    def findings(self) -> Iterator[dict[str, Any]]:
        for seq, others in sorted(self._forks.items()):
            yield {"code": "fork", "seq": seq, "text": f"{1 + others} different records at {seq}, all kept"}
        for seq in self._others:
            yield {"code": "fork", "seq": seq, "text": f"record {seq} is not that of the published hash"}
        for seq in self._stray:
            yield {"code": "stray", "seq": seq, "text": f"record {seq} is far behind everything that is held"}


class Completeness:
    """By meter: slots owed from the first configuration to the newest record, and how they were answered."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[int, str]] = {}
        self._configs: list[tuple[int, Mapping[str, Any]]] = []
        self._now_ms = 0

    def take(self, row: Seen) -> None:
        """Records in order of index."""
        if row.kind not in ("config", "reading", "gap"):
            return
        self._now_ms = max(self._now_ms, row.at_ms or 0)
        if row.kind == "config":
            self._configs.append((self._now_ms, json.loads(row.body)))
        elif row.meter is None or row.slot_s is None:
            return
        elif row.kind == "reading":
            self._answers.setdefault(row.meter, {})[row.slot_s] = row.quality or "unreadable"
        elif self._configs and row.until_s is not None:
            step_s = self._configs[-1][1]["settings"]["interval_s"]
            for slot_s in range(row.slot_s, row.until_s + 1, step_s)[:_MAX_GAP_SLOTS]:
                self._answers.setdefault(row.meter, {}).setdefault(slot_s, "gap")

    def rows(self) -> list[dict[str, Any]]:
        """{meter, slots, missing, …and a count for each quality and `gap`}, in order of meters."""
        found: dict[str, Counter[str]] = {}
        for n, (from_ms, config) in enumerate(self._configs):
            grace_ms = GRACE_SLOTS * config["settings"]["interval_s"] * 1000
            until_ms = self._configs[n + 1][0] if n + 1 < len(self._configs) else self._now_ms - grace_ms
            self._count(config, from_ms // 1000, until_ms // 1000, found)
        return [
            {"meter": meter, "slots": counts.total(), "missing": counts.pop("missing", 0), **counts}
            for meter, counts in sorted(found.items())
        ]

    def _count(self, config: Mapping[str, Any], from_s: int, until_s: int, found: dict[str, Counter[str]]) -> None:
        plan = Plan.from_config(config, lambda _s, _n: ("unclassified", ""))
        manual = {meter["id"] for meter in config["meters"] if meter["protocol"] == "manual"}
        step_s = plan.interval_s
        first = from_s + step_s - (from_s + parse_utc_offset(config["settings"]["utc_offset"])) % step_s
        for slot in range(first, until_s, step_s):
            for meter in plan.meters_in_force(slot):
                if meter not in manual:
                    answer = self._answers.get(meter, {}).get(slot, "missing")
                    found.setdefault(meter, Counter())[answer] += 1
