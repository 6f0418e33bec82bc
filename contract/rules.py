"""What a log must obey besides its hashes: one answer a slot, revisions in a chain, energy that recomputes (pure).

    reading ─▶ slots of its meter ─▶ interval: (end − start) × multiplier × share ─▶ day, statement

Fed every record's parsed JSON in order, it keeps what later records refer to and reports what does not fit. It works
on the JSON itself, not on dataclasses: a year of a park is verified in a minute. What was given up (absent) is never
blamed: whatever refers to it is taken as it is.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from contract import records
from contract.grid import parse_utc_offset
from contract.plan import Holding, PeriodAt, Plan, Point, Subject

# (config record, reading record, one of its sources) → registers that its exchanges say; None where they cannot be read
DecodeReading = Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], Mapping[str, Decimal] | None]
PeriodsOf = Callable[[Mapping[str, Any]], PeriodAt]  # config record → its rule of periods; ValueError
Report = Callable[[str, int | None, str], None]

GRACE_SLOTS = 3  # a slot's first answer is due before the end of the second slot after it
GAP_CHAIN_S = 3600
MIN_TOLERANCE_MS = 500
_EXCUSED = frozenset({"power", "clock", "disk"})  # gaps that could not be written while they lasted
_BREAKS = frozenset({"register_fell", "register_jumped", "serial_changed", "meter_replaced", "rollover"})
_ALWAYS_S, _NEVER_S = -(2**62), 2**62


class _Answer(NamedTuple):
    """The latest record of a meter's slot; a gap counts as revision 0."""

    seq: int
    revision: int
    is_reading: bool


class _Value(NamedTuple):
    """What a reading gave for its slot, as text."""

    meter: str
    slot_s: int
    registers: dict[str, str]


class _Energy(NamedTuple):
    """The latest interval of a subject's step."""

    seq: int
    revision: int
    period: str
    kwh: Decimal
    quality: str
    refs: tuple[int, ...]


@dataclass(slots=True)
class _Era:
    """A `config` record while it is in force: from the first slot after it to the last slot before the next one."""

    config: Mapping[str, Any]
    plan: Plan | None
    from_s: int | None  # None until a dated record comes
    interval_s: int
    offset_s: int
    to_s: int = _NEVER_S


@dataclass(slots=True)
class _Chain:
    """Revisions of one derived record."""

    seq: int
    revision: int


@dataclass(slots=True)
class Rules:
    """Feed `record` and `absent` in order of index, then `finish`."""

    report: Report
    decode_reading: DecodeReading | None
    periods_of: PeriodsOf
    _eras: list[_Era] = field(default_factory=list)
    _answers: dict[str, dict[int, _Answer]] = field(default_factory=dict)
    _values: dict[int, _Value] = field(default_factory=dict)
    _undated: dict[int, tuple[str, int]] = field(default_factory=dict)  # seq → meter, revision
    _energies: dict[tuple[str | None, str | None], dict[int, _Energy]] = field(default_factory=dict)
    _chains: dict[tuple[Any, ...], _Chain] = field(default_factory=dict)  # days, statements and balances
    _breaks: dict[str, list[int]] = field(default_factory=dict)  # meter → when its register was broken off
    _marks: list[tuple[int, int]] = field(default_factory=list)  # (latest time so far in s, seq), rising
    _boots: dict[str, int] = field(default_factory=dict)  # boot → its first dated record, ms
    _seqs_absent: set[int] = field(default_factory=set)
    _blind: bool = False  # the last record was absent
    _blind_until_s: int = _ALWAYS_S  # answers to earlier slots may be among what was given up
    _expected: dict[int, dict[Subject, frozenset[tuple[str, str, str, Decimal, Decimal]]]] = field(default_factory=dict)

    def absent(self, seq: int) -> None:
        """A body that was given up."""
        self._seqs_absent.add(seq)
        self._blind = True

    def record(self, seq: int, at_ms: int, raw: Mapping[str, Any]) -> None:
        """A record that has all its fields. at_ms: −1 where it is undated. Raises ValueError, KeyError and the like."""
        if at_ms >= 0:
            self._time(seq, at_ms, raw["boot"])
        kind = raw["kind"]
        if kind == "reading":
            self._reading(seq, at_ms, raw)
        elif kind == "interval":
            self._interval(seq, raw)
        elif kind == "gap":
            self._gap(seq, at_ms, raw)
        elif kind in ("day", "statement"):
            self._total(seq, raw)
        elif kind == "balance":
            self._balance(seq, raw)
        elif kind == "config":
            self._config(seq, at_ms, raw)
        elif kind == "event" and raw["code"] in _BREAKS and raw["from"] is not None:
            self._breaks.setdefault(raw["id"], []).append(records.parse_instant(raw["from"]) // 1000)

    def finish(self) -> None:
        """What only shows at the end: slots without an answer, intervals that were never written or revised."""
        if self._blind:
            self._blind_until_s = _NEVER_S
        if not self._marks:
            return
        for era in self._eras:
            grace_s = GRACE_SLOTS * era.interval_s
            due_s = min(era.to_s, self._marks[-1][0] - grace_s)
            if era.from_s is not None:
                self._missing_slots(era, era.from_s, due_s)
                self._missing_intervals(era, era.from_s, due_s)
        self._stale_intervals()

    # -- time and configuration

    def _time(self, seq: int, at_ms: int, boot: str) -> None:
        self._boots.setdefault(boot, at_ms)
        at_s = at_ms // 1000
        if not self._marks or at_s > self._marks[-1][0]:
            self._marks.append((at_s, seq))
        if self._blind:
            self._blind, self._blind_until_s = False, at_s
        if self._eras and self._eras[-1].from_s is None:
            self._eras[-1].from_s = _next_slot(self._eras[-1], at_s)

    def _config(self, seq: int, at_ms: int, raw: Mapping[str, Any]) -> None:
        interval_s = raw["settings"]["interval_s"]
        offset_s = parse_utc_offset(raw["settings"]["utc_offset"])
        if type(interval_s) is not int or not 1 <= interval_s <= 3600 or 86_400 % interval_s:
            raise ValueError(f"interval of {interval_s!r} s")
        plan = None
        try:
            plan = Plan.from_config(raw, self.periods_of(raw))
        except (ValueError, KeyError, TypeError) as error:
            self.report("plan", seq, f"config record {seq} describes no park: {error}")
        for entry in (*raw["schedules"], *raw["holidays"], *raw["models"]):
            if hashlib.sha256(entry["text"].encode()).hexdigest() != entry["sha256"]:
                self.report("config", seq, f"config record {seq}: {entry['id']} is not the text of its hash")
        era = _Era(raw, plan, None, interval_s, offset_s)
        if at_ms >= 0:
            era.from_s = _next_slot(era, at_ms // 1000)
        if self._eras and self._eras[-1].to_s == _NEVER_S:
            last = self._eras[-1]
            last.to_s = at_ms // 1000 if at_ms >= 0 else (self._marks[-1][0] if self._marks else _ALWAYS_S)
        self._eras.append(era)

    # -- readings and gaps

    def _reading(self, seq: int, at_ms: int, raw: Mapping[str, Any]) -> None:
        meter, revision, registers = raw["meter"], _revision(raw), raw["registers"]
        self._sources(seq, raw)
        target = _superseded(seq, raw)
        if (revision == 0) != (target is None):
            self.report("revision", seq, f"reading {seq}: revision {revision} supersedes {target}")
        if raw["slot"] is None:
            self._undated[seq] = (meter, revision)
            return
        slot_s = _slot(raw["slot"])
        self._on_grid(seq, slot_s, raw["method"])
        self._values[seq] = _Value(meter, slot_s, registers)
        slots = self._answers.setdefault(meter, {})
        known = slots.get(slot_s)
        if revision == 0:
            if known is not None:
                self.report("duplicate", seq, f"{meter} {raw['slot']} was answered by record {known.seq} already")
            self._punctual(seq, at_ms, raw["boot"], slot_s, "")
        elif target is not None:
            self._revises(seq, target, revision, known, meter)
        slots[slot_s] = _Answer(seq, revision, True)

    def _revises(self, seq: int, target: int, revision: int, known: _Answer | None, meter: str) -> None:
        if target in self._seqs_absent:
            return
        undated = self._undated.get(target)
        if undated is not None and undated[0] == meter:
            fits = revision == undated[1] + 1
        else:
            fits = known is not None and known.seq == target and revision == known.revision + 1
        if not fits:
            latest = "nothing" if known is None else f"record {known.seq}, revision {known.revision}"
            self.report("revision", seq, f"reading {seq}: revision {revision} of {target}, where {latest} stands")

    def _gap(self, seq: int, at_ms: int, raw: Mapping[str, Any]) -> None:
        meter, first_s, last_s = raw["meter"], _slot(raw["from_slot"]), _slot(raw["to_slot"])
        step_s = self._eras[-1].interval_s if self._eras else 0
        if not step_s or last_s < first_s:
            self.report("gap", seq, f"gap {seq}: from {raw['from_slot']} to {raw['to_slot']}")
            return
        if (last_s - first_s) // step_s + 1 > max(1, GAP_CHAIN_S // step_s):
            self.report("gap", seq, f"gap {seq} is longer than an hour")
        self._on_grid(seq, first_s, "")
        self._on_grid(seq, last_s, "")
        self._punctual(seq, at_ms, raw["boot"], first_s, raw["why"])
        slots = self._answers.setdefault(meter, {})
        for slot_s in range(first_s, min(last_s, first_s + 86_400) + 1, step_s):
            known = slots.get(slot_s)
            if known is not None:
                text = f"{meter} {records.slot_instant(slot_s)} was answered by record {known.seq} already"
                self.report("duplicate", seq, text)
            else:
                slots[slot_s] = _Answer(seq, 0, False)

    def _on_grid(self, seq: int, slot_s: int, method: str) -> None:
        if method != "manual" and self._eras:
            era = self._eras[-1]
            if (slot_s + era.offset_s) % era.interval_s:
                self.report("grid", seq, f"record {seq}: {records.slot_instant(slot_s)} is no slot")

    def _punctual(self, seq: int, at_ms: int, boot: str, slot_s: int, why: str) -> None:
        """A first answer must come in time, unless the gateway slept, had no time, or the disk was full."""
        if at_ms < 0 or not self._eras or why in _EXCUSED:
            return
        era = self._eras[-1]
        awake = self._boots.get(boot, at_ms) <= slot_s * 1000
        if era.from_s is None or slot_s < era.from_s or not awake:
            return
        if at_ms >= (slot_s + GRACE_SLOTS * era.interval_s) * 1000:
            self.report("late", seq, f"record {seq} answers {records.slot_instant(slot_s)} too late")

    def _sources(self, seq: int, raw: Mapping[str, Any]) -> None:
        """Registers against what the meter said, and what it said against its bytes."""
        sources, method = raw["sources"], raw["method"]
        if method == "live" and len(sources) == 1:
            source = sources[0]
            if not _same_registers(raw["registers"], source["registers"]):
                self.report("registers", seq, f"reading {seq}: the registers are not those of its source")
            if raw["quality"] == "measured" and raw["slot"] is not None:
                self._near(seq, raw, source)
        elif method == "interpolated" and len(sources) == 2 and raw["slot"] is not None:
            self._between(seq, raw, sources)
        if "confirmed" in raw["checks"] and not any(source["confirm"] for source in sources) and method == "live":
            self.report("unconfirmed", seq, f"reading {seq}: no exchange confirms it")
        if self.decode_reading is None or not self._eras:
            return
        for source in sources:
            said = self.decode_reading(self._eras[-1].config, raw, source)
            if said is not None:
                for name, value in source["registers"].items():
                    if said.get(name) != _decimal(value):
                        text = f"reading {seq}: {name} is {value}, its frames say {said.get(name)}"
                        self.report("frames", seq, text)

    def _near(self, seq: int, raw: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        interval_s = self._eras[-1].interval_s if self._eras else 0
        if raw["clock"] == "none" or source["read_at"] is None:
            self.report("not_measured", seq, f"reading {seq} is measured without a clock")
            return
        off_ms = abs(records.parse_instant(source["read_at"]) - _slot(raw["slot"]) * 1000)
        off_ms += raw["clock_error_ms"] or 0
        if interval_s and off_ms > max(MIN_TOLERANCE_MS, interval_s * 10):
            self.report("not_measured", seq, f"reading {seq} is measured {off_ms} ms off its slot")

    def _between(self, seq: int, raw: Mapping[str, Any], sources: list[Mapping[str, Any]]) -> None:
        if any(source["read_at"] is None for source in sources):
            return
        first_ms, last_ms = (records.parse_instant(source["read_at"]) for source in sources)
        part_ms, whole_ms = _slot(raw["slot"]) * 1000 - first_ms, last_ms - first_ms
        if not 0 <= part_ms <= whole_ms or not whole_ms:
            self.report("registers", seq, f"reading {seq}: its sources are not on both sides of the slot")
            return
        for name, value in raw["registers"].items():
            texts = [source["registers"].get(name) for source in sources]
            if None in texts:
                self.report("registers", seq, f"reading {seq}: {name} has no source")
                continue
            first, last = (_decimal(text) for text in texts)
            if last >= first and _decimal(value) != _on_line(first, last, part_ms, whole_ms):
                self.report("registers", seq, f"reading {seq}: {name} {value} is not on the line between its sources")

    # -- energy

    def _interval(self, seq: int, raw: Mapping[str, Any]) -> None:
        subject = (raw["tenant"], raw["point"])
        start_s, end_s = _slot(raw["start"]), _slot(raw["end"])
        self._on_grid(seq, start_s, "")
        era = self._eras[-1] if self._eras else None
        if era is None or end_s - start_s != era.interval_s:
            self.report("grid", seq, f"interval {seq} spans {end_s - start_s} s")
        if (subject[0] is None) == (subject[1] is None):
            self.report("interval", seq, f"interval {seq} is of tenant {subject[0]} and point {subject[1]}")
        kwh = _decimal(raw["kwh"])
        segments = raw["segments"]
        refs: list[int] = []
        for segment in segments:
            self._segment(seq, segment, refs)
        if sum((_decimal(segment["kwh"]) for segment in segments), Decimal(0)) != kwh:
            self.report("sum", seq, f"interval {seq}: {kwh} kWh is not the sum of its segments")
        if records.worst([segment["quality"] for segment in segments]) != raw["quality"]:
            self.report("quality", seq, f"interval {seq}: {raw['quality']} is not the worst of its segments")
        self._bounds(seq, segments, start_s, end_s)
        if era is not None and era.plan is not None and end_s - start_s == era.interval_s:
            self._as_planned(seq, era.plan, raw, start_s)
        self._keep_energy(seq, subject, start_s, raw, kwh, tuple(refs))

    def _keep_energy(
        self,
        seq: int,
        subject: tuple[Any, Any],
        start_s: int,
        raw: Mapping[str, Any],
        kwh: Decimal,
        refs: tuple[int, ...],
    ) -> None:
        known_steps = self._energies.setdefault(subject, {})
        known = known_steps.get(start_s)
        revision, target = _revision(raw), _superseded(seq, raw)
        chain = None if known is None else _Chain(known.seq, known.revision)
        self._derived(seq, raw["kind"], revision, target, chain)
        known_steps[start_s] = _Energy(seq, revision, raw["period"], kwh, raw["quality"], refs)

    def _derived(self, seq: int, kind: str, revision: int, target: int | None, known: _Chain | None) -> None:
        """Revision 0 exactly once, then one up at a time, each naming the one before."""
        if revision == 0 and target is None:
            if known is not None:
                self.report("duplicate", seq, f"{kind} {seq} was written as record {known.seq} already")
            return
        fits = known is not None and target == known.seq and revision == known.revision + 1
        if not fits and target not in self._seqs_absent:
            latest = "nothing" if known is None else f"record {known.seq}, revision {known.revision}"
            self.report("revision", seq, f"{kind} {seq}: revision {revision} of {target}, where {latest} stands")

    def _segment(self, seq: int, segment: Mapping[str, Any], refs: list[int]) -> None:
        """(end − start [+ rollover]) × multiplier × share = kwh, with registers that stand in the readings named."""
        ends: list[Decimal | None] = []
        for side in ("start", "end"):
            ref = segment[f"{side}_seq"]
            refs.append(ref)
            text = segment[side]
            value = self._values.get(ref)
            if value is None:
                if ref not in self._seqs_absent:
                    self.report("reference", seq, f"record {seq}: {side}_seq {ref} is no dated reading before it")
                ends.append(None if text is None else _decimal(text))
                continue
            register = value.registers.get(segment["register"])
            if value.meter != segment["meter"] or register is None:
                self.report(
                    "reference", seq, f"record {seq}: {side}_seq {ref} is no {segment['register']} of its meter"
                )
            elif text is not None and _decimal(text) != _decimal(register):
                self.report("registers", seq, f"record {seq}: {side} {text}, but reading {ref} says {register}")
            latest = self._answers[value.meter].get(value.slot_s)
            if latest is not None and latest.seq > ref and latest.is_reading:
                self.report("stale", seq, f"record {seq}: reading {ref} was revised by {latest.seq} before it")
            ends.append(None if register is None else _decimal(register))
        start, end = ends
        if start is not None and end is not None:
            rollover = _decimal(segment["rollover"]) if segment.get("rollover") is not None else Decimal(0)
            if rollover and end >= start:
                self.report("rollover", seq, f"record {seq}: a rollover from {start} to {end}")
            counted = (end - start + rollover) * _decimal(segment["multiplier"]) * _decimal(segment["share"])
            if counted != _decimal(segment["kwh"]):
                self.report("kwh", seq, f"record {seq}: {segment['kwh']} kWh, registers give {counted}")

    def _bounds(self, seq: int, segments: Iterable[Mapping[str, Any]], from_s: int, to_s: int) -> None:
        """The readings of each point lie at the bounds, and where one meter follows another they join."""
        lines: dict[tuple[str, bool], list[tuple[int, int]]] = {}
        for segment in segments:
            first, last = (self._values.get(segment[side]) for side in ("start_seq", "end_seq"))
            if first is None or last is None:
                return
            line = (segment["point"], segment["share"].startswith("-"))
            lines.setdefault(line, []).append((first.slot_s, last.slot_s))
        for (point, _), spans in lines.items():
            spans.sort()
            joined = all(before[1] == after[0] for before, after in pairwise(spans))
            if spans[0][0] != from_s or spans[-1][1] != to_s or not joined:
                self.report("bounds", seq, f"record {seq}: the readings of {point} are not those at its bounds")

    def _as_planned(self, seq: int, plan: Plan, raw: Mapping[str, Any], start_s: int) -> None:
        """Who, which meters, multipliers and shares: as the configuration in force has them."""
        holdings = plan.holdings(start_s)
        expected = self._expected.get(id(holdings))
        if expected is None:  # plans live as long as their eras, so the id stays theirs
            expected = {subject: frozenset(map(_held, held)) for subject, held in holdings.items()}
            self._expected[id(holdings)] = expected
        subject = Subject(raw["tenant"], raw["point"], raw["role"])
        held = frozenset(
            (s["point"], s["meter"], s["register"], _decimal(s["multiplier"]), _decimal(s["share"]))
            for s in raw["segments"]
        )
        if subject not in expected:
            self.report("plan", seq, f"interval {seq}: {subject.tenant or subject.point} holds nothing then")
        elif held != expected[subject] or len(held) != len(raw["segments"]):
            self.report("plan", seq, f"interval {seq}: meters, multipliers or shares are not those configured")
        else:
            period = plan.period_at(start_s, plan.points[raw["segments"][0]["point"]].schedule)
            if period != (raw["period"], raw["schedule"]):
                self.report("period", seq, f"interval {seq} says {raw['period']}, its schedule {period[0]}")

    def _total(self, seq: int, raw: Mapping[str, Any]) -> None:
        """A day or statement equals its parts: periods, qualities, segments, and the intervals in the log."""
        from_s, to_s = _slot(raw["from"]), _slot(raw["to"])
        key = (raw["kind"], raw["tenant"], raw["point"], from_s, to_s)
        known = self._chains.get(key)
        self._derived(seq, raw["kind"], _revision(raw), _superseded(seq, raw), known)
        self._chains[key] = _Chain(seq, _revision(raw))
        total = _decimal(raw["total"])
        for name in ("periods", "quality_kwh"):
            if sum(map(_decimal, raw[name].values()), Decimal(0)) != total:
                self.report("sum", seq, f"{raw['kind']} {seq}: {name} are not {total} together")
        for segment in raw["segments"]:
            self._segment(seq, segment, [])
        if raw["complete"] and sum((_decimal(s["kwh"]) for s in raw["segments"]), Decimal(0)) != total:
            self.report("sum", seq, f"{raw['kind']} {seq}: segments are not {total} together")
        self._as_intervals(seq, raw, from_s, to_s)

    def _as_intervals(self, seq: int, raw: Mapping[str, Any], from_s: int, to_s: int) -> None:
        if self._seqs_absent or not self._eras:
            return
        steps = self._energies.get((raw["tenant"], raw["point"]), {})
        found = [steps[s] for s in range(from_s, to_s, self._eras[-1].interval_s) if s in steps]
        for name, attribute in (("periods", "period"), ("quality_kwh", "quality")):
            sums: dict[str, Decimal] = {}
            for energy in found:
                part = getattr(energy, attribute)
                sums[part] = sums.get(part, Decimal(0)) + energy.kwh
            said = {key: _decimal(value) for key, value in raw[name].items()}
            if any(said.get(key, 0) != sums.get(key, 0) for key in said.keys() | sums.keys()):
                self.report("total", seq, f"{raw['kind']} {seq}: {name} are not those of its intervals")

    def _balance(self, seq: int, raw: Mapping[str, Any]) -> None:
        key = ("balance", _slot(raw["from"]), _slot(raw["to"]))
        self._derived(seq, "balance", _revision(raw), _superseded(seq, raw), self._chains.get(key))
        self._chains[key] = _Chain(seq, _revision(raw))
        for period, flow in raw["periods"].items():
            energies = {name: _decimal(value) for name, value in flow.items()}
            into = energies["import"] + energies["pv"] + energies["storage"]
            if into - energies["export"] - energies["points"] != energies["loss"]:
                self.report("sum", seq, f"balance {seq}: the loss of {period} does not add up")

    # -- at the end

    def _missing_slots(self, era: _Era, first_s: int, due_s: int) -> None:
        for meter in era.config["meters"]:
            if meter["protocol"] == "manual":
                continue
            answers = self._answers.get(meter["id"], {})
            for from_s, to_s in _terms(era.plan, meter["id"]):
                slots = range(max(first_s, _slot_from(era, from_s)), min(due_s, to_s), era.interval_s)
                missing = [s for s in slots if s not in answers and s >= self._blind_until_s]
                for first, last in _stretches(missing, era.interval_s):
                    seq = self._seq_at(first + GRACE_SLOTS * era.interval_s)
                    text = f"{meter['id']} has no answer from {records.slot_instant(first)}"
                    self.report("missing", seq, f"{text} to {records.slot_instant(last)}")

    def _missing_intervals(self, era: _Era, first_s: int, due_s: int) -> None:
        """Steps whose readings stood at both ends in good time, and no interval was written."""
        if era.plan is None:
            return
        for step_s in range(max(first_s, self._first_answer_s(era)), due_s - era.interval_s, era.interval_s):
            if step_s < self._blind_until_s:
                continue
            for subject, held in era.plan.holdings(step_s).items():
                if not held or step_s in self._energies.get((subject.tenant, subject.point), {}):
                    continue
                if all(self._counts(holding, step_s, step_s + era.interval_s) for holding in held):
                    seq = self._seq_at(step_s + (GRACE_SLOTS + 1) * era.interval_s)
                    text = f"{subject.tenant or subject.point} has no interval at {records.slot_instant(step_s)}"
                    self.report("missing_interval", seq, text)

    def _counts(self, holding: Holding, start_s: int, end_s: int) -> bool:
        """Whether the meter's readings at both ends make energy: there, not falling, nothing broken off between."""
        answers = self._answers.get(holding.meter, {})
        texts = []
        for slot_s in (start_s, end_s):
            answer = answers.get(slot_s)
            if answer is None or not answer.is_reading:
                return False
            texts.append(self._values[answer.seq].registers.get(holding.register))
        if None in texts or _decimal(texts[1]) < _decimal(texts[0]):
            return False
        margin_s = end_s - start_s
        return not any(start_s - margin_s <= t <= end_s + 2 * margin_s for t in self._breaks.get(holding.meter, ()))

    def _stale_intervals(self) -> None:
        """Intervals whose readings were revised after them, with time enough to follow, and which were not."""
        if not self._eras:
            return
        settled = self._seq_at(self._marks[-1][0] - GRACE_SLOTS * self._eras[-1].interval_s)
        for steps in self._energies.values():
            for energy in steps.values():
                for ref in energy.refs:
                    value = self._values.get(ref)
                    latest = None if value is None else self._answers[value.meter].get(value.slot_s)
                    late = latest is not None and latest.is_reading and energy.seq < latest.seq < settled
                    if latest is not None and late:
                        self.report("stale", latest.seq, f"interval {energy.seq} was not revised after it")

    def _first_answer_s(self, era: _Era) -> int:
        """The first slot that anybody answered, so that an epoch's empty beginning is not walked through."""
        firsts = [min(slots) for slots in self._answers.values() if slots]
        return _slot_from(era, min(firsts)) if firsts else _NEVER_S

    def _seq_at(self, at_s: int) -> int:
        """The first record written at or after an instant; the last one dated if there is none."""
        place = bisect_right(self._marks, (at_s, -1))
        return self._marks[min(place, len(self._marks) - 1)][1]


def _held(holding: Holding) -> tuple[str, str, str, Decimal, Decimal]:
    return holding.point, holding.meter, holding.register, holding.multiplier, holding.share


def _terms(plan: Plan | None, meter: str) -> list[tuple[int, int]]:
    """When a meter measures anything, half-open, in seconds."""
    if plan is None:
        return [(_ALWAYS_S, _NEVER_S)]
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


def _next_slot(era: _Era, at_s: int) -> int:
    """The first slot after an instant."""
    return at_s - (at_s + era.offset_s) % era.interval_s + era.interval_s


def _slot_from(era: _Era, at_s: int) -> int:
    """The first slot at or after an instant."""
    return at_s + -(at_s + era.offset_s) % era.interval_s if at_s > _ALWAYS_S else at_s


def _revision(raw: Mapping[str, Any]) -> int:
    revision = raw.get("revision", 0)
    if type(revision) is not int or revision < 0:
        raise ValueError(f"revision {revision!r}")
    return revision


def _superseded(seq: int, raw: Mapping[str, Any]) -> int | None:
    supersedes = raw.get("supersedes")
    if supersedes is None:
        return None
    target = supersedes["seq"]
    if type(target) is not int or not 0 <= target < seq:
        raise ValueError(f"supersedes {target!r}, which is not before it")
    return target


def _same_registers(registers: Mapping[str, str], source: Mapping[str, str]) -> bool:
    if registers == source:
        return True
    return registers.keys() <= source.keys() and all(_decimal(v) == _decimal(source[k]) for k, v in registers.items())


def _on_line(first: Decimal, last: Decimal, part_ms: int, whole_ms: int) -> Decimal:
    """Linear in time, rounded half up to the last digit of the finer register."""
    digits = max(_digits(first), _digits(last))
    low, high = int(first.scaleb(digits)), int(last.scaleb(digits))
    doubled = 2 * (high - low) * part_ms + whole_ms
    return Decimal(low + doubled // (2 * whole_ms)).scaleb(-digits)


def _digits(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


@lru_cache(maxsize=65_536)
def _slot(text: str) -> int:
    return records.parse_slot(text)


@lru_cache(maxsize=65_536)
def _decimal(text: Any) -> Decimal:
    if not isinstance(text, str) or not text.removeprefix("-").replace(".", "", 1).isdecimal() or not text.isascii():
        raise ValueError(f"{text!r} is no decimal in plain notation")
    return Decimal(text)
