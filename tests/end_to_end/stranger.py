"""A stranger's check of rules 1–8 of the contract (§4) and of the tree (§5): it sees published messages, nothing else.

Written from docs/contract.md alone, with arithmetic of its own: it imports nothing of hubiao.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

Record = dict[str, Any]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def slot_of(reading: Record) -> float | None:
    return seconds(reading["slot"]) if reading.get("slot") else None


class Stranger:
    """Everything received on `hubiao/v1/#`; `faults` says what breaks the contract."""

    def __init__(self) -> None:
        self.raw: dict[int, bytes] = {}
        self.records: dict[int, Record] = {}
        self.topics: dict[int, str] = {}
        self.checkpoints: list[str] = []
        self.hashes: dict[int, str] = {}
        self.epochs: set[str] = set()
        self.faults: list[str] = []

    def receive(self, topic: str, payload: bytes) -> None:
        kind = topic.rsplit("/", 1)[-1]
        if kind == "checkpoint":
            self.checkpoints.append(payload.decode())
        elif kind == "hashes":
            message = json.loads(payload)
            for index, leaf in enumerate(message["hashes"]):
                self.hashes[message["from"] + index] = leaf
            self._must(len(message["hashes"]) <= 256, "more than 256 hashes in a message")
        elif kind not in ("status", "live"):
            self._record(topic, payload)

    def check(self) -> list[str]:
        """All faults. The log is taken to be complete up to its largest index."""
        self._must(len(self.epochs) == 1, f"one epoch expected, {len(self.epochs)} seen")
        self._log()
        config = next(r for r in self.records.values() if r["kind"] == "config")
        self.step_s = config["settings"]["interval_s"]
        self.config = config
        self._values()
        self._rule_1()
        self._rules_2_3()
        self._rule_4()
        self._rules_5_6_8()
        return self.faults

    def of(self, kind: str) -> list[tuple[int, Record]]:
        return [(seq, r) for seq, r in sorted(self.records.items()) if r["kind"] == kind]

    def _must(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)

    def _record(self, topic: str, payload: bytes) -> None:
        record = json.loads(payload, parse_float=lambda text: self.faults.append(f"float {text} in {topic}"))
        canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        seq = record["seq"]
        self._must(canonical == payload, f"{seq}: not in canonical form")
        self._must(self.raw.get(seq, payload) == payload, f"{seq}: two different records")
        self._must(record["v"] == 1 and len(record["salt"]) == 32, f"{seq}: head")
        expected = {"interval": {"tenant", "point", "balance"}, "reading": {"meter"}, "gap": {"meter"}}.get(
            record["kind"]
        )
        self._must(expected is None or topic.split("/")[3] in expected, f"{seq}: {record['kind']} on {topic}")
        self._must(record["kind"] in topic or record["kind"] == "balance", f"{seq}: {record['kind']} on {topic}")
        self.raw[seq], self.records[seq], self.topics[seq] = payload, record, topic
        self.epochs.add(record["epoch"])

    def _log(self) -> None:
        size = max(self.raw) + 1
        self._must(sorted(self.raw) == list(range(size)), f"holes: {sorted(set(range(size)) - set(self.raw))[:5]}")
        leaves = [hashlib.sha256(b"\0" + self.raw[seq]).digest() for seq in sorted(self.raw)]
        for seq, leaf in enumerate(leaves):
            self._must(self.hashes.get(seq, leaf.hex()) == leaf.hex(), f"{seq}: published hash differs")
        self._must(bool(self.checkpoints), "no checkpoint")
        for note in self.checkpoints[-3:]:
            origin, count, root = note.split("\n")[:3]
            self._must(origin.startswith("hubiao/"), "origin of the checkpoint")
            if int(count) <= size:
                self._must(base64.b64decode(root) == _root(leaves[: int(count)]), f"root at size {count}")
        in_force = ""
        for seq in sorted(self.records):
            self._must(self.records[seq]["config"] == in_force, f"{seq}: names another config")
            if self.records[seq]["kind"] == "config":
                in_force = leaves[seq].hex()

    def _values(self) -> None:
        """(meter, slot) → its readings in order of revision."""
        self.readings: dict[tuple[str, float], list[tuple[int, Record]]] = defaultdict(list)
        for seq, reading in self.of("reading"):
            if reading["slot"] is not None:
                self.readings[reading["meter"], seconds(reading["slot"])].append((seq, reading))
        for (meter, slot), found in self.readings.items():
            revisions = [r["revision"] for _, r in found]
            self._must(revisions == sorted(set(revisions)), f"{meter} {slot}: revisions {revisions}")
            for seq, reading in found:
                if reading["revision"]:
                    replaced = self.records[reading["supersedes"]["seq"]]
                    self._must(replaced["meter"] == meter and reading["supersedes"]["seq"] < seq, f"{seq}: supersedes")

    def _rule_1(self) -> None:
        answers: dict[tuple[str, float], list[int]] = defaultdict(list)
        for key, found in self.readings.items():
            answers[key] += [seq for seq, r in found if r["revision"] == 0]
        for seq, gap in self.of("gap"):
            slot = seconds(gap["from_slot"])
            while slot <= seconds(gap["to_slot"]):
                answers[gap["meter"], slot].append(seq)
                slot += self.step_s
        started = seconds(self.config["at"])
        ended = max(seconds(r["at"]) for r in self.records.values())
        for meter in self.config["meters"]:
            if meter["protocol"] == "manual":
                continue
            slot = started - started % self.step_s + self.step_s
            while slot + 2 * self.step_s < ended:
                seqs = answers[meter["id"], slot]
                self._must(len(seqs) == 1, f"rule 1: {meter['id']} at {slot}: first answers {seqs}")
                for seq in seqs:
                    late = seconds(self.records[seq]["at"]) - slot
                    self._must(late <= 2 * self.step_s, f"rule 1: {seq}: {late} s after its slot")
                slot += self.step_s

    def _rules_2_3(self) -> None:
        self.latest: dict[tuple[Any, Any, str], Record] = {}
        seen: dict[tuple[Any, Any, str], list[int]] = defaultdict(list)
        for seq, interval in self.of("interval"):
            key = (interval["tenant"], interval["point"], interval["start"])
            seen[key].append(interval["revision"])
            self.latest[key] = interval
            start, end = seconds(interval["start"]), seconds(interval["end"])
            self._must(end - start == self.step_s and start % self.step_s == 0, f"rule 2: {seq}: bounds")
            total = Decimal(0)
            for segment in interval["segments"]:
                first, last = (self.records[segment[name]] for name in ("start_seq", "end_seq"))
                values = []
                for reading, slot in ((first, start), (last, end)):
                    here = reading.get("meter") == segment["meter"] and slot_of(reading) == slot
                    self._must(here, f"rule 3: {seq}: {segment['meter']} at {slot}")
                    values.append(Decimal(reading.get("registers", {}).get(segment["register"], -1)))
                for name, value in zip(("start", "end"), values, strict=True):
                    if segment.get(name) is not None:
                        self._must(Decimal(segment[name]) == value, f"rule 3: {seq}: register at the {name}")
                grown = values[1] - values[0] + Decimal(segment.get("rollover") or 0)
                kwh = grown * Decimal(segment["multiplier"]) * Decimal(segment["share"])
                self._must(kwh == Decimal(segment["kwh"]), f"rule 2: {seq}: kwh of {segment['meter']}")
                self._must(grown >= 0, f"rule 7: {seq}: {segment['meter']} fell")
                total += kwh
            self._must(total == Decimal(interval["kwh"]), f"rule 2: {seq}: sum of segments")
        for key, revisions in seen.items():
            self._must(revisions == list(range(len(revisions))), f"rule 2: {key}: revisions {revisions}")
        self._expected_intervals(seen)

    def _expected_intervals(self, seen: dict[tuple[Any, Any, str], list[int]]) -> None:
        """Of single-meter points without parent, held whole: the simple majority of any park."""
        for point in self.config["points"]:
            holders = [t for t in self.config["tenancies"] if t["point"] == point["id"]]
            if len(point["meters"]) != 1 or len(holders) > 1 or point["parent"]:
                continue
            tenant = holders[0]["tenant"] if holders else None
            if tenant and sum(t["tenant"] == tenant for t in self.config["tenancies"]) != 1:
                continue
            meter = point["meters"][0]["meter"]
            slots = {slot for name, slot in self.readings if name == meter}
            for slot in slots:
                if slot + self.step_s in slots:
                    start = datetime.fromtimestamp(slot, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                    found = (tenant, None if tenant else point["id"], start) in seen
                    self._must(found, f"rule 2: no interval of {tenant or point['id']} from {start}")

    def _rule_4(self) -> None:
        for seq, day in [*self.of("day"), *self.of("statement")]:
            newest = [r for s, r in self.of(day["kind"]) if (r["tenant"], r["point"], r["from"]) == _of(day)][-1]
            if newest is not day:
                continue
            periods: dict[str, Decimal] = defaultdict(Decimal)
            for (tenant, point, start), interval in self.latest.items():
                if (tenant, point) == (day["tenant"], day["point"]) and day["from"] <= start < day["to"]:
                    periods[interval["period"]] += Decimal(interval["kwh"])
            said = {name: Decimal(kwh) for name, kwh in day["periods"].items() if Decimal(kwh)}
            wanted = {name: kwh for name, kwh in periods.items() if kwh}
            self._must(said == wanted, f"rule 4: {seq}: {said} is not {wanted}")
            self._must(Decimal(day["total"]) == sum(periods.values()), f"rule 4: {seq}: total")
            spans = sum((Decimal(span["kwh"]) for span in day["segments"]), Decimal(0))
            self._must(spans == Decimal(day["total"]), f"rule 4: {seq}: register differences")

    def _rules_5_6_8(self) -> None:
        for seq, reading in self.of("reading"):
            slot = None if reading["slot"] is None else seconds(reading["slot"])
            sources = reading["sources"]
            if reading["method"] == "live" and reading["quality"] == "measured" and slot is not None:
                off = abs(seconds(sources[0]["read_at"]) - slot) + (reading["clock_error_ms"] or 0) / 1000
                self._must(off <= max(0.5, self.step_s / 100), f"rule 5: {seq}: {off} s off")
                self._must(reading["clock"] != "none", f"rule 5: {seq}: clock")
                self._must(reading["registers"] == sources[0]["registers"], f"rule 5: {seq}: registers")
            elif reading["method"] == "interpolated":
                self._must(self._interpolates(reading, slot), f"rule 5: {seq}: interpolation")
            for source in sources:
                self._must(self._confirmed(reading, source), f"rule 6: {seq}: not confirmed")
                self._must(_decodes(source), f"rule 8: {seq}: frames say something else than {source['registers']}")

    def _interpolates(self, reading: Record, slot: float | None) -> bool:
        before, after = reading["sources"]
        t0, t1 = (round(seconds(source["read_at"]) * 1000) for source in (before, after))
        assert slot is not None
        for name, said in reading["registers"].items():
            v0, v1 = Decimal(before["registers"][name]), Decimal(after["registers"][name])
            exact = Fraction(v0) + (Fraction(v1) - Fraction(v0)) * Fraction(round(slot * 1000) - t0, t1 - t0)
            step = Decimal(1).scaleb(min(v0.as_tuple().exponent, v1.as_tuple().exponent))
            scaled = Decimal(int(exact / Fraction(step) * 2 + 1) // 2) * step
            # by a like day or the park's load the value lies anywhere between the two looks; else on the line
            shaped = reading["estimate"] in ("profile", "master")
            fits = v0 <= Decimal(said) <= v1 if shaped else scaled == Decimal(said)
            if not fits or not t0 <= slot * 1000 <= t1:
                return False
        return reading["quality"] in ("interpolated", "estimated")

    def _confirmed(self, reading: Record, source: Record) -> bool:
        if "confirmed" in reading["checks"]:
            return bool(source["confirm"])
        registers = {name: Decimal(value) for name, value in source["registers"].items()}
        tariffs = [value for name, value in registers.items() if name.startswith("import_t")]
        return "tariff_sum" in reading["checks"] and abs(sum(tariffs) - registers["import"]) <= Decimal("0.05")


def _of(day: Record) -> tuple[Any, Any, str]:
    return day["tenant"], day["point"], day["from"]


def _root(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()


def _decodes(source: Record) -> bool:
    """The import register of DL/T 645 energy replies, decoded by hand; other frames are judged elsewhere."""
    for exchange in [*source["exchanges"], *source["confirm"]]:
        frame = bytes.fromhex(exchange["reply"])
        if frame[:1] != b"\x68" or len(frame) < 16 or frame[7] != 0x68:
            continue
        data = bytes((byte - 0x33) % 256 for byte in frame[10:-2])
        if frame[8] == 0x91 and data[:4] in (bytes.fromhex("00FF0100"), bytes.fromhex("00000100")):
            value = data[4:8]
        elif frame[8] == 0x81 and data[:2] in (bytes.fromhex("1F90"), bytes.fromhex("1090")):
            value = data[2:6]
        else:
            continue
        said = Decimal(value[::-1].hex()) / 100
        grown = said - Decimal(source["registers"]["import"])
        if not 0 <= grown <= Decimal("0.05"):
            return False
    return True
