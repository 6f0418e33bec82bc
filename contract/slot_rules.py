"""One answer a slot: readings and gaps against the grid, against each other, and against their own sources (pure).

    slot  ├── reading, or gap ── revision 1 ── revision 2 …      exactly one first answer, in time

What readings gave is kept for `energy_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from contract import records
from contract.energy import interpolate
from contract.eras import (
    ALWAYS_S,
    GRACE_SLOTS,
    NEVER_S,
    Course,
    Era,
    decimal_of,
    revision_of,
    slot_from,
    slot_of,
    superseded_by,
)
from contract.plan import Plan, Point

# (config record, reading record, one of its sources) → registers that its exchanges say; None where they cannot be read
DecodeReading = Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], Mapping[str, Decimal] | None]

ITS_OWN = frozenset({"live", "freeze", "load_profile"})  # methods by which a meter itself says the slot's value
GAP_CHAIN_S = 3600
MIN_TOLERANCE_MS = 500
_EXCUSED = frozenset({"power", "clock", "disk"})  # gaps that could not be written while they lasted


class Answer(NamedTuple):
    """The latest record of a meter's slot; a gap counts as revision 0."""

    seq: int
    revision: int
    is_reading: bool


class Value(NamedTuple):
    """What a reading gave for its slot, as text."""

    meter: str
    slot_s: int
    registers: dict[str, str]


class SlotRules:
    """Fed readings and gaps in order of the log."""

    def __init__(self, course: Course, decode_reading: DecodeReading | None) -> None:
        self.answers: dict[str, dict[int, Answer]] = {}  # meter → slot → its latest record
        self.values: dict[int, Value] = {}  # seq of a reading → what it gave
        self._undated: dict[int, tuple[str, int]] = {}  # seq → meter, revision
        self._hands: tuple[Era | None, frozenset[str]] = (None, frozenset())  # meters read by people, under an era
        self._course, self._report = course, course.report
        self._decode_reading = decode_reading

    def reading(self, seq: int, at_ms: int, raw: Mapping[str, Any]) -> None:
        """A reading: its sources, its slot, what it supersedes."""
        meter, revision, registers = raw["meter"], revision_of(raw), raw["registers"]
        self._sources(seq, raw)
        target = superseded_by(seq, raw)
        if (revision == 0) != (target is None):
            self._report("revision", seq, f"reading {seq}: revision {revision} supersedes {target}")
        if raw["slot"] is None:
            self._undated[seq] = (meter, revision)
            return
        slot_s = slot_of(raw["slot"])
        self._course.on_grid(seq, slot_s, raw["method"])
        self.values[seq] = Value(meter, slot_s, registers)
        slots = self.answers.setdefault(meter, {})
        known = slots.get(slot_s)
        if revision == 0:
            if known is not None:
                self._report("duplicate", seq, f"{meter} {raw['slot']} was answered by record {known.seq} already")
            if not self._by_hand(meter):
                self._punctual(seq, at_ms, raw["boot"], slot_s, "")
        elif target is not None:
            self._revises(seq, target, revision, known, meter)
        slots[slot_s] = Answer(seq, revision, True)

    def gap(self, seq: int, at_ms: int, raw: Mapping[str, Any]) -> None:
        """A gap: first answer to every slot it covers."""
        meter, first_s, last_s = raw["meter"], slot_of(raw["from_slot"]), slot_of(raw["to_slot"])
        step_s = self._course.interval_s
        if not step_s or last_s < first_s:
            self._report("gap", seq, f"gap {seq}: from {raw['from_slot']} to {raw['to_slot']}")
            return
        if (last_s - first_s) // step_s + 1 > max(1, GAP_CHAIN_S // step_s):
            self._report("gap", seq, f"gap {seq} is longer than an hour")
        self._course.on_grid(seq, first_s, "")
        self._course.on_grid(seq, last_s, "")
        self._punctual(seq, at_ms, raw["boot"], first_s, raw["why"])
        slots = self.answers.setdefault(meter, {})
        for slot_s in range(first_s, min(last_s, first_s + 86_400) + 1, step_s):
            known = slots.get(slot_s)
            if known is not None:
                text = f"{meter} {records.slot_instant(slot_s)} was answered by record {known.seq} already"
                self._report("duplicate", seq, text)
            else:
                slots[slot_s] = Answer(seq, 0, False)

    def missing(self, era: Era, first_s: int, due_s: int) -> None:
        """Slots of the era in [first, due) that nobody answered."""
        for meter in era.config["meters"]:
            if meter["protocol"] == "manual":
                continue
            answers = self.answers.get(meter["id"], {})
            for from_s, to_s in _terms(era.plan, meter["id"]):
                slots = range(max(first_s, slot_from(era, from_s)), min(due_s, to_s), era.interval_s)
                missing = [s for s in slots if s not in answers and s >= self._course.blind_until_s]
                for first, last in _stretches(missing, era.interval_s):
                    seq = self._course.seq_at(first + GRACE_SLOTS * era.interval_s)
                    text = f"{meter['id']} has no answer from {records.slot_instant(first)}"
                    self._report("missing", seq, f"{text} to {records.slot_instant(last)}")

    def _revises(self, seq: int, target: int, revision: int, known: Answer | None, meter: str) -> None:
        if target in self._course.absent:
            return
        undated = self._undated.get(target)
        if undated is not None and undated[0] == meter:
            fits = revision == undated[1] + 1
        else:
            fits = known is not None and known.seq == target and revision == known.revision + 1
        if not fits:
            latest = "nothing" if known is None else f"record {known.seq}, revision {known.revision}"
            self._report("revision", seq, f"reading {seq}: revision {revision} of {target}, where {latest} stands")

    def _by_hand(self, meter: str) -> bool:
        """Whether people read the meter: its slots are answered when they have."""
        era = self._course.era
        if era is not None and self._hands[0] is not era:
            self._hands = (era, frozenset(m["id"] for m in era.config["meters"] if m["protocol"] == "manual"))
        return meter in self._hands[1]

    def _punctual(self, seq: int, at_ms: int, boot: str, slot_s: int, why: str) -> None:
        """A first answer must come in time, unless the gateway slept, had no time, or the disk was full."""
        if at_ms < 0 or not self._course.eras or why in _EXCUSED:
            return
        era = self._course.eras[-1]
        awake = self._course.boots.get(boot, at_ms) <= slot_s * 1000
        if era.from_s is None or slot_s < era.from_s or not awake:
            return
        if at_ms >= (slot_s + GRACE_SLOTS * era.interval_s) * 1000:
            self._report("late", seq, f"record {seq} answers {records.slot_instant(slot_s)} too late")

    def _sources(self, seq: int, raw: Mapping[str, Any]) -> None:
        """Registers against what the meter said, and what it said against its bytes."""
        sources, method = raw["sources"], raw["method"]
        if method in ITS_OWN and len(sources) == 1:
            source = sources[0]
            if not _same_registers(raw["registers"], source["registers"]):
                self._report("registers", seq, f"reading {seq}: the registers are not those of its source")
            if raw["quality"] == "measured" and raw["slot"] is not None:
                self._near(seq, raw, source)
        elif method == "interpolated" and len(sources) == 2 and raw["slot"] is not None:
            self._between(seq, raw, sources)
        if "confirmed" in raw["checks"] and not any(source["confirm"] for source in sources) and method in ITS_OWN:
            self._report("unconfirmed", seq, f"reading {seq}: no exchange confirms it")
        if self._decode_reading is None or not self._course.eras:
            return
        for source in sources:
            said = self._decode_reading(self._course.eras[-1].config, raw, source)
            if said is not None:
                for name, value in source["registers"].items():
                    if said.get(name) != decimal_of(value):
                        text = f"reading {seq}: {name} is {value}, its frames say {said.get(name)}"
                        self._report("frames", seq, text)
            if source["confirm"]:
                self._confirmed(seq, raw, source)

    def _confirmed(self, seq: int, raw: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        """What the confirming exchanges say: the same registers, or grown since, but none fallen."""
        assert self._decode_reading is not None
        again = {**source, "exchanges": source["confirm"]}
        said = self._decode_reading(self._course.eras[-1].config, raw, again)
        if said is None:
            return
        common = said.keys() & source["registers"].keys()
        if not common or any(said[name] < decimal_of(source["registers"][name]) for name in common):
            self._report("unconfirmed", seq, f"reading {seq}: what confirms it says otherwise")

    def _near(self, seq: int, raw: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        interval_s = self._course.interval_s
        if raw["clock"] == "none" or source["read_at"] is None:
            self._report("not_measured", seq, f"reading {seq} is measured without a clock")
            return
        off_ms = abs(records.parse_instant(source["read_at"]) - slot_of(raw["slot"]) * 1000)
        if raw["method"] == "live":
            off_ms += raw["clock_error_ms"] or 0
        if interval_s and off_ms > max(MIN_TOLERANCE_MS, interval_s * 10):
            self._report("not_measured", seq, f"reading {seq} is measured {off_ms} ms off its slot")

    def _between(self, seq: int, raw: Mapping[str, Any], sources: list[Mapping[str, Any]]) -> None:
        if any(source["read_at"] is None for source in sources):
            return
        first_ms, last_ms = (records.parse_instant(source["read_at"]) for source in sources)
        part_ms, whole_ms = slot_of(raw["slot"]) * 1000 - first_ms, last_ms - first_ms
        if not 0 <= part_ms <= whole_ms or not whole_ms:
            self._report("registers", seq, f"reading {seq}: its sources are not on both sides of the slot")
            return
        for name, value in raw["registers"].items():
            texts = [source["registers"].get(name) for source in sources]
            if None in texts:
                self._report("registers", seq, f"reading {seq}: {name} has no source")
                continue
            first, last = map(decimal_of, texts)
            if raw["estimate"] not in (None, "linear"):
                fits = first <= decimal_of(value) <= last
            else:
                fits = decimal_of(value) == interpolate((first_ms, first), (last_ms, last), first_ms + part_ms)
            if last >= first and not fits:
                self._report("registers", seq, f"reading {seq}: {name} {value} is not on the line between its sources")


def _same_registers(registers: Mapping[str, str], source: Mapping[str, str]) -> bool:
    if registers == source:
        return True
    known = registers.keys() <= source.keys()
    return known and all(decimal_of(value) == decimal_of(source[name]) for name, value in registers.items())


def _terms(plan: Plan | None, meter: str) -> list[tuple[int, int]]:
    """When a meter measures anything, half-open, in seconds."""
    if plan is None:
        return [(ALWAYS_S, NEVER_S)]
    points: Iterable[Point] = plan.points.values()
    return [(f.from_s, f.to_s) for point in points for f in point.fittings if f.meter == meter]


def _stretches(slots: list[int], step_s: int) -> list[tuple[int, int]]:
    """Runs of neighbouring slots as (first, last)."""
    runs: list[tuple[int, int]] = []
    for slot_s in slots:
        if runs and runs[-1][1] + step_s == slot_s:
            runs[-1] = (runs[-1][0], slot_s)
        else:
            runs.append((slot_s, slot_s))
    return runs
