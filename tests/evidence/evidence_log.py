"""Builds a day's log of a small park by plain arithmetic of its own, and lets tests spoil it.

Points: p-0 master ×400; p-1 acme ×40 with p-4 (bolt) behind it; p-2 acme 0.375, the rest vacant; p-3 public. m-5 is
read by hand. m-2 is silent for slots 20 to 27, the gateway sleeps for slots 50 to 57; both are filled afterwards.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from nacl.signing import SigningKey

from contract import note, records, tree
from contract.verify import Evidence, verify

GATEWAY = SigningKey(bytes(range(32)))
AUDITOR = SigningKey(bytes(range(32, 64)))
STRANGER = SigningKey(bytes(range(64, 96)))
KEY = note.public_raw(GATEWAY)
AUDITOR_NAME = "audit.example/zj-1"
AUDITOR_VKEY = note.verifier_key(AUDITOR_NAME, note.public_raw(AUDITOR), note.COSIGNATURE)
EPOCH = "0f" * 16
ORIGIN = f"hubiao/xihu-01/gw-1/{EPOCH}"
T0 = records.parse_slot("2026-07-09T16:00:00Z")  # local midnight
STEP = 900
METERS = ("m-0", "m-1", "m-2", "m-3", "m-4")
RATE = dict(zip(METERS, map(Decimal, ("1.37", "2.11", "0.40", "0.07", "5.00")), strict=True))
SILENT = range(20, 28)
ASLEEP = range(50, 58)


def value(meter: str, slot: int) -> Decimal:
    """The register of a meter at slot number `slot`: two decimals, starts at a thousand."""
    return Decimal(1000) + RATE[meter] * slot


def slot_text(slot: int) -> str:
    return records.slot_instant(T0 + STEP * slot)


def config() -> records.Config:
    def meter(id_: str, protocol: str = "dlt645-2007") -> dict[str, Any]:
        return {"id": id_, "line": None if protocol == "manual" else "east", "protocol": protocol, "digits": 6}

    def point(n: int, role: str, multiplier: str, parent: str | None = None) -> dict[str, Any]:
        fitting = {"meter": f"m-{n}", "from": None, "to": None, "multiplier": multiplier}
        names = {"id": f"p-{n}", "role": role, "parent": parent, "register": "import"}
        return {**names, "account": None, "schedule": None, "meters": [fitting]}

    def tenancy(point_: str, tenant: str, share: str) -> dict[str, Any]:
        return {"point": point_, "tenant": tenant, "share": share, "from": None, "to": None}

    settings = {"utc_offset": "+08:00", "schedules": [], "interval": "15min", "interval_s": STEP}
    return records.Config(
        settings={**settings, "closings": ["01 00:00"]},
        lines=[{"id": "east"}],
        meters=[*map(meter, METERS), meter("m-5", "manual")],
        points=[
            point(0, "master", "400"),
            point(1, "tenant", "40"),
            point(2, "tenant", "1"),
            point(3, "public", "1"),
            point(4, "tenant", "2", "p-1"),
        ],
        tenancies=[tenancy("p-1", "acme", "1"), tenancy("p-2", "acme", "0.375"), tenancy("p-4", "bolt", "1")],
        schedules=[],
        holidays=[],
        models=[],
        version="0.1.0",
    )


# subject → its holdings: (point, meter, multiplier, share)
HOLDINGS: dict[tuple[str | None, str | None, str], list[tuple[str, str, str, str]]] = {
    (None, "p-0", "master"): [("p-0", "m-0", "400", "1")],
    ("acme", None, "tenant"): [("p-1", "m-1", "40", "1"), ("p-4", "m-4", "2", "-1"), ("p-2", "m-2", "1", "0.375")],
    (None, "p-2", "operator"): [("p-2", "m-2", "1", "0.625")],
    (None, "p-3", "public"): [("p-3", "m-3", "1", "1")],
    ("bolt", None, "tenant"): [("p-4", "m-4", "2", "1")],
}


@dataclass
class Log:
    """Records as bytes, checkpoints and receipts as text."""

    records: list[bytes] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)
    boot: str = "aa" * 16
    config: str = ""

    def add(self, body: Any, at_s: float, /, **head: Any) -> int:
        seq = len(self.records)
        fields: dict[str, Any] = {
            "kind": body.kind,
            "park": "xihu-01",
            "gateway": "gw-1",
            "epoch": EPOCH,
            "seq": seq,
            "boot": self.boot,
            "boot_ms": int(at_s * 1000) - T0 * 1000 + 10_000_000,
            "at": records.instant(int(at_s * 1000)),
            "clock": "disciplined",
            "clock_error_ms": 20,
            "config": self.config,
            "salt": f"{seq:032x}",
        }
        self.records.append(records.encode(records.Head(**{**fields, **head}), body))
        if body.kind == "config":
            self.config = tree.leaf_hash(self.records[-1]).hex()
        return seq

    @property
    def leaves(self) -> list[bytes]:
        return [tree.leaf_hash(record) for record in self.records]

    def sign(self) -> str:
        root = tree.root_of(self.leaves)
        self.checkpoints.append(note.sign_checkpoint(GATEWAY, note.Checkpoint(ORIGIN, len(self.records), root)))
        return self.checkpoints[-1]

    def witness(self, at_s: int) -> None:
        receipt = note.cosign(AUDITOR, AUDITOR_NAME, self.checkpoints[-1], at_s)
        size = note.parse_checkpoint(note.parse_note(receipt)[0]).size
        self.receipts.append(receipt)
        self.add(records.Witness(AUDITOR_NAME, size, receipt), at_s)

    def resigned(self) -> Log:
        """The same records under notes made anew: what the key's holder could publish instead."""
        sizes = [note.parse_checkpoint(note.parse_note(text)[0]).size for text in self.checkpoints]
        sizes = [size for size in sizes if size < len(self.records)] + [len(self.records)]
        frontier, notes = tree.Frontier(), []
        for leaf in self.leaves:
            frontier.append(leaf)
            if frontier.size in sizes:
                point = note.Checkpoint(ORIGIN, frontier.size, frontier.root())
                notes.append(note.sign_checkpoint(GATEWAY, point))
        return Log(self.records, notes, [], self.boot, self.config)

    def copy(self) -> Log:
        return Log(list(self.records), list(self.checkpoints), list(self.receipts), self.boot, self.config)

    def raw(self, seq: int) -> dict[str, Any]:
        found = json.loads(self.records[seq])
        assert isinstance(found, dict)
        return found

    def rewrite(self, seq: int, /, **changes: Any) -> None:
        """Other fields in a record, its hash left as it comes."""
        self.records[seq] = records.canonical({**self.raw(seq), **changes})

    def find(self, kind: str, **wanted: Any) -> int:
        """The first record of a kind with these fields."""
        for seq in range(len(self.records)):
            raw = self.raw(seq)
            if raw["kind"] == kind and all(raw[name] == value for name, value in wanted.items()):
                return seq
        raise LookupError(f"no {kind} with {wanted}")

    def verify(self, **options: Any) -> dict[str, Any]:
        leaves = options.pop("leaves", self.leaves)
        evidence = Evidence(self.records, leaves, self.checkpoints, self.receipts)
        return verify(evidence, options.pop("key", KEY), auditors=options.pop("auditors", [AUDITOR_VKEY]), **options)


class Day:
    """Writes the log of a day and four hours, a sweep a slot."""

    def __init__(self, slots: int = 112, *, witnessed: bool = True) -> None:
        self.log = Log()
        self.seqs: dict[tuple[str, int], int] = {}  # meter, slot → its latest reading
        self.quality: dict[tuple[str, int], records.Quality] = {}
        self.gaps: dict[tuple[str, int], int] = {}
        self.written: set[tuple[str | None, str | None, int]] = set()
        self.slots, self.witnessed = slots, witnessed

    def build(self) -> Log:
        log = self.log
        log.add(records.Boot("new_store", None, "0.1.0"), T0 - 200)
        log.add(records.Anchor(records.instant((T0 - 200) * 1000), 20, "kernel"), T0 - 199)
        log.add(config(), T0 - 100)
        for slot in range(self.slots):
            if slot in ASLEEP:
                continue
            now = T0 + STEP * slot + 5
            if slot == ASLEEP.stop:
                self._wake(now)
            self._sweep(slot, now)
            if slot == 99:
                self._day_records(now + 20)
            log.sign()
            if self.witnessed and slot % 20 == 19:
                log.witness(now + 30)
        log.sign()
        return log

    def _sweep(self, slot: int, now: int) -> None:
        fresh: set[int] = {slot - 1}
        for meter in METERS:
            if meter == "m-2" and slot in SILENT:
                if slot - 1 in SILENT:
                    self._gap(slot - 1, slot - 1, meter, now + STEP // 2, "timeout")
                continue
            if meter == "m-2" and slot == SILENT.stop:
                self._gap(slot - 1, slot - 1, meter, now - 3, "timeout")
            self._live(meter, slot, now)
            filled = [s for m, s in self.gaps if m == meter]
            for gone in sorted(filled):
                self._estimated(meter, gone, slot, now)
                fresh |= {gone - 1, gone}
        for step in sorted(fresh):
            self._intervals(step, now + 10)

    def _live(self, meter: str, slot: int, now: int) -> None:
        sources = [self._source(meter, slot, records.instant((T0 + STEP * slot) * 1000 + 1_500))]
        self._reading(meter, slot, now, sources=sources, method="live", quality="measured")

    def _estimated(self, meter: str, gone: int, back: int, now: int) -> None:
        ends = (self._before(gone), back)
        self._reading(
            meter,
            gone,
            now,
            sources=[self._source(meter, slot, records.instant((T0 + STEP * slot) * 1000)) for slot in ends],
            method="interpolated",
            quality="estimated",
            estimate="linear",
            revision=1,
            supersedes=records.Supersedes(self.gaps.pop((meter, gone)), "meter_back"),
        )

    def _before(self, gone: int) -> int:
        return (SILENT if gone in SILENT else ASLEEP).start - 1

    def _source(self, meter: str, slot: int, read_at: str) -> records.Source:
        exchange = records.Exchanged("68aa", f"68{int(value(meter, slot) * 100):08x}", 1000)
        return records.Source(read_at, 1000, {"import": value(meter, slot)}, None, [exchange], [exchange])

    def _reading(self, meter: str, slot: int, now: int, **fields: Any) -> None:
        plain: dict[str, Any] = {
            "meter": meter,
            "serial": None,
            "point": f"p-{meter[-1]}",
            "slot": slot_text(slot),
            "estimate": None,
            "registers": {"import": value(meter, slot)},
            "checks": ["checksum", "plausible", "confirmed"],
            "attempts": 1,
        }
        self.seqs[meter, slot] = self.log.add(records.Reading(**{**plain, **fields}), now)
        self.quality[meter, slot] = fields["quality"]

    def _gap(self, first: int, last: int, meter: str, now: int, why: Any) -> None:
        seq = self.log.add(records.Gap(meter, slot_text(first), slot_text(last), why), now)
        for slot in range(first, last + 1):
            self.gaps[meter, slot] = seq

    def _wake(self, now: int) -> None:
        self.log.boot = "bb" * 16
        self.log.add(records.Boot("start", None, "0.1.0"), now - 4)
        for meter in METERS:
            for first in range(ASLEEP.start, ASLEEP.stop, 4):
                self._gap(first, first + 3, meter, now - 3, "power")

    def _intervals(self, step: int, now: int) -> None:
        for (tenant, point, role), held in HOLDINGS.items():
            if (tenant, point, step) in self.written:
                continue
            if all((meter, slot) in self.seqs for _, meter, _, _ in held for slot in (step, step + 1)):
                segments = [self._segment(holding, step) for holding in held]
                body = records.Interval(
                    tenant=tenant,
                    point=point,
                    role=role,  # type: ignore[arg-type]
                    start=slot_text(step),
                    end=slot_text(step + 1),
                    period="unclassified",
                    schedule="",
                    kwh=sum((s.kwh for s in segments), Decimal(0)),
                    quality=records.worst([s.quality for s in segments]),
                    segments=segments,
                )
                self.log.add(body, now)
                self.written.add((tenant, point, step))

    def _segment(self, holding: tuple[str, str, str, str], step: int, last: int | None = None) -> records.Segment:
        point, meter, multiplier, share = holding
        last = step + 1 if last is None else last
        start, end = value(meter, step), value(meter, last)
        own = share == "1"
        return records.Segment(
            point=point,
            meter=meter,
            register="import",
            multiplier=Decimal(multiplier),
            share=Decimal(share),
            start=start if own else None,
            end=end if own else None,
            kwh=(end - start) * Decimal(multiplier) * Decimal(share),
            quality=records.worst([self.quality[meter, step], self.quality[meter, last]]),
            start_seq=self.seqs[meter, step],
            end_seq=self.seqs[meter, last],
        )

    def _day_records(self, now: int) -> None:
        for (tenant, point, role), held in HOLDINGS.items():
            qualities: dict[str, Decimal] = {}
            for step in range(96):
                parts = [self._segment(holding, step) for holding in held]
                worst = records.worst([part.quality for part in parts])
                qualities[worst] = qualities.get(worst, Decimal(0)) + sum(part.kwh for part in parts)
            whole = [self._segment(holding, 0, 96) for holding in held]
            total = sum((part.kwh for part in whole), Decimal(0))
            spans = [
                records.Span(
                    point=part.point,
                    meter=part.meter,
                    register="import",
                    multiplier=part.multiplier,
                    share=part.share,
                    from_=slot_text(0),
                    to=slot_text(96),
                    start=part.start,
                    end=part.end,
                    kwh=part.kwh,
                    start_seq=part.start_seq,
                    end_seq=part.end_seq,
                )
                for part in whole
            ]
            body = records.Day(
                tenant=tenant,
                point=point,
                role=role,  # type: ignore[arg-type]
                from_=slot_text(0),
                to=slot_text(96),
                periods={"unclassified": total},
                total=total,
                quality_kwh=qualities,
                uncertain_kwh=Decimal(0),
                segments=spans,
                complete=True,
                missing=[],
                max_demand_kw=None,
                max_demand_at=None,
                own_meter=False,
            )
            self.log.add(body, now)
