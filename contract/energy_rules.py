"""Energy that recomputes: intervals from readings, days and statements from intervals, as the plan has it (pure).

(end − start [+ rollover]) × multiplier × share = kwh ──▶ Σ interval ──▶ Σ day, statement
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from contract import records
from contract.eras import GRACE_SLOTS, NEVER_S, Course, Era, decimal_of, revision_of, slot_from, slot_of, superseded_by
from contract.plan import Holding, Plan, Subject
from contract.slot_rules import SlotRules

_BREAKS = frozenset({"register_fell", "register_jumped", "serial_changed", "meter_replaced", "rollover"})


class _Energy(NamedTuple):
    """The latest interval of a subject's step."""

    seq: int
    revision: int
    period: str
    kwh: Decimal
    quality: str
    refs: tuple[int, ...]


@dataclass(slots=True)
class _Chain:
    """Revisions of one derived record."""

    seq: int
    revision: int


class EnergyRules:
    """Fed intervals, days, statements, balances and events in order of the log; `slots` knows the readings."""

    def __init__(self, course: Course, slots: SlotRules) -> None:
        self._course, self._report, self._slots = course, course.report, slots
        self._energies: dict[tuple[str | None, str | None], dict[int, _Energy]] = {}  # subject → start of step
        self._chains: dict[tuple[Any, ...], _Chain] = {}  # days, statements and balances
        self._breaks: dict[str, list[int]] = {}  # meter → when its register was broken off
        self._expected: dict[int, dict[Subject, frozenset[tuple[str, str, str, Decimal, Decimal]]]] = {}

    def event(self, raw: Mapping[str, Any]) -> None:
        """Remembers where registers do not connect."""
        if raw["code"] in _BREAKS and raw["from"] is not None:
            self._breaks.setdefault(raw["id"], []).append(records.parse_instant(raw["from"]) // 1000)

    def interval(self, seq: int, raw: Mapping[str, Any]) -> None:
        """An interval against its readings, the plan and what was written before."""
        subject = (raw["tenant"], raw["point"])
        start_s, end_s = slot_of(raw["start"]), slot_of(raw["end"])
        self._course.on_grid(seq, start_s, "")
        era = self._course.era
        if era is None or end_s - start_s != era.interval_s:
            self._report("grid", seq, f"interval {seq} spans {end_s - start_s} s")
        if (subject[0] is None) == (subject[1] is None):
            self._report("interval", seq, f"interval {seq} is of tenant {subject[0]} and point {subject[1]}")
        kwh = decimal_of(raw["kwh"])
        segments = raw["segments"]
        refs: list[int] = []
        for segment in segments:
            self._segment(seq, segment, refs)
        if sum((decimal_of(segment["kwh"]) for segment in segments), Decimal(0)) != kwh:
            self._report("sum", seq, f"interval {seq}: {kwh} kWh is not the sum of its segments")
        if records.worst([segment["quality"] for segment in segments]) != raw["quality"]:
            self._report("quality", seq, f"interval {seq}: {raw['quality']} is not the worst of its segments")
        self._bounds(seq, segments, start_s, end_s)
        if era is not None and era.plan is not None and end_s - start_s == era.interval_s:
            self._as_planned(seq, era.plan, raw, start_s)
        self._keep_energy(seq, subject, start_s, raw, kwh, tuple(refs))

    def total(self, seq: int, raw: Mapping[str, Any]) -> None:
        """A day or statement equals its parts: periods, qualities, segments, and the intervals in the log."""
        from_s, to_s = slot_of(raw["from"]), slot_of(raw["to"])
        key = (raw["kind"], raw["tenant"], raw["point"], from_s, to_s)
        known = self._chains.get(key)
        self._derived(seq, raw["kind"], revision_of(raw), superseded_by(seq, raw), known)
        self._chains[key] = _Chain(seq, revision_of(raw))
        total = decimal_of(raw["total"])
        for name in ("periods", "quality_kwh"):
            if sum(map(decimal_of, raw[name].values()), Decimal(0)) != total:
                self._report("sum", seq, f"{raw['kind']} {seq}: {name} are not {total} together")
        for segment in raw["segments"]:
            self._segment(seq, segment, [])
        if raw["complete"] and sum((decimal_of(s["kwh"]) for s in raw["segments"]), Decimal(0)) != total:
            self._report("sum", seq, f"{raw['kind']} {seq}: segments are not {total} together")
        self._as_intervals(seq, raw, from_s, to_s)

    def balance(self, seq: int, raw: Mapping[str, Any]) -> None:
        """A balance: its revision, and whether its losses add up."""
        key = ("balance", slot_of(raw["from"]), slot_of(raw["to"]))
        self._derived(seq, "balance", revision_of(raw), superseded_by(seq, raw), self._chains.get(key))
        self._chains[key] = _Chain(seq, revision_of(raw))
        for period, flow in raw["periods"].items():
            energies = {name: decimal_of(value) for name, value in flow.items()}
            into = energies["import"] + energies["pv"] + energies["storage"]
            if into - energies["export"] - energies["points"] != energies["loss"]:
                self._report("sum", seq, f"balance {seq}: the loss of {period} does not add up")

    def missing(self, era: Era, first_s: int, due_s: int) -> None:
        """Steps whose readings stood at both ends in good time, and no interval was written."""
        if era.plan is None:
            return
        for step_s in range(max(first_s, self._first_answer_s(era)), due_s - era.interval_s, era.interval_s):
            if step_s < self._course.blind_until_s:
                continue
            for subject, held in era.plan.holdings(step_s).items():
                if (
                    self._superseded(era, subject, step_s)
                    or not held
                    or step_s in self._energies.get((subject.tenant, subject.point), {})
                ):
                    continue
                if all(self._counts(holding, step_s, step_s + era.interval_s) for holding in held):
                    seq = self._course.seq_at(step_s + (GRACE_SLOTS + 1) * era.interval_s)
                    text = f"{subject.tenant or subject.point} has no interval at {records.slot_instant(step_s)}"
                    self._report("missing_interval", seq, text)

    def _superseded(self, era: Era, subject: Subject, step_s: int) -> bool:
        """Whether a later configuration, as the log ends, sees the step otherwise: then that one says what is owed."""
        latest = self._course.eras[-1].plan
        if latest is None or era.plan is None or latest is era.plan or latest.interval_s != era.interval_s:
            return False
        return latest.holdings(step_s).get(subject) != era.plan.holdings(step_s).get(subject)

    def stale(self) -> None:
        """Intervals whose readings were revised after them, with time enough to follow, and which were not."""
        if not self._course.eras or not self._course.marks:  # undated from end to end: nothing was due at a time
            return
        settled = self._course.seq_at(self._course.marks[-1][0] - GRACE_SLOTS * self._course.eras[-1].interval_s)
        for steps in self._energies.values():
            for energy in steps.values():
                for ref in energy.refs:
                    value = self._slots.values.get(ref)
                    latest = None if value is None else self._slots.answers[value.meter].get(value.slot_s)
                    late = latest is not None and latest.is_reading and energy.seq < latest.seq < settled
                    if latest is not None and late:
                        self._report("stale", latest.seq, f"interval {energy.seq} was not revised after it")

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
        revision, target = revision_of(raw), superseded_by(seq, raw)
        chain = None if known is None else _Chain(known.seq, known.revision)
        self._derived(seq, raw["kind"], revision, target, chain)
        known_steps[start_s] = _Energy(seq, revision, raw["period"], kwh, raw["quality"], refs)

    def _derived(self, seq: int, kind: str, revision: int, target: int | None, known: _Chain | None) -> None:
        """Revision 0 exactly once, then one up at a time, each naming the one before."""
        if revision == 0 and target is None:
            if known is not None:
                self._report("duplicate", seq, f"{kind} {seq} was written as record {known.seq} already")
            return
        fits = known is not None and target == known.seq and revision == known.revision + 1
        if not fits and target not in self._course.absent:
            latest = "nothing" if known is None else f"record {known.seq}, revision {known.revision}"
            self._report("revision", seq, f"{kind} {seq}: revision {revision} of {target}, where {latest} stands")

    def _segment(self, seq: int, segment: Mapping[str, Any], refs: list[int]) -> None:
        """(end − start [+ rollover]) × multiplier × share = kwh, with registers that stand in the readings named."""
        ends: list[Decimal | None] = []
        for side in ("start", "end"):
            ref = segment[f"{side}_seq"]
            refs.append(ref)
            text = segment[side]
            value = self._slots.values.get(ref)
            if value is None:
                if ref not in self._course.absent:
                    self._report("reference", seq, f"record {seq}: {side}_seq {ref} is no dated reading before it")
                ends.append(None if text is None else decimal_of(text))
                continue
            register = value.registers.get(segment["register"])
            if value.meter != segment["meter"] or register is None:
                self._report(
                    "reference", seq, f"record {seq}: {side}_seq {ref} is no {segment['register']} of its meter"
                )
            elif text is not None and decimal_of(text) != decimal_of(register):
                self._report("registers", seq, f"record {seq}: {side} {text}, but reading {ref} says {register}")
            latest = self._slots.answers[value.meter].get(value.slot_s)
            if latest is not None and latest.seq > ref and latest.is_reading:
                self._report("stale", seq, f"record {seq}: reading {ref} was revised by {latest.seq} before it")
            ends.append(None if register is None else decimal_of(register))
        start, end = ends
        if start is not None and end is not None:
            rollover = decimal_of(segment["rollover"]) if segment.get("rollover") is not None else Decimal(0)
            if rollover and end >= start:
                self._report("rollover", seq, f"record {seq}: a rollover from {start} to {end}")
            counted = (end - start + rollover) * decimal_of(segment["multiplier"]) * decimal_of(segment["share"])
            if counted != decimal_of(segment["kwh"]):
                self._report("kwh", seq, f"record {seq}: {segment['kwh']} kWh, registers give {counted}")

    def _bounds(self, seq: int, segments: Iterable[Mapping[str, Any]], from_s: int, to_s: int) -> None:
        """The readings of each point lie at the bounds, and where one meter follows another they join."""
        lines: dict[tuple[str, bool], list[tuple[int, int]]] = {}
        for segment in segments:
            first, last = (self._slots.values.get(segment[side]) for side in ("start_seq", "end_seq"))
            if first is None or last is None:
                return
            line = (segment["point"], segment["share"].startswith("-"))
            lines.setdefault(line, []).append((first.slot_s, last.slot_s))
        for (point, _), spans in lines.items():
            spans.sort()
            joined = all(before[1] == after[0] for before, after in pairwise(spans))
            if spans[0][0] != from_s or spans[-1][1] != to_s or not joined:
                self._report("bounds", seq, f"record {seq}: the readings of {point} are not those at its bounds")

    def _as_planned(self, seq: int, plan: Plan, raw: Mapping[str, Any], start_s: int) -> None:
        """Who, which meters, multipliers and shares: as the configuration in force has them."""
        holdings = plan.holdings(start_s)
        expected = self._expected.get(id(holdings))
        if expected is None:  # plans live as long as their eras, so the id stays theirs
            expected = {subject: frozenset(map(_held, held)) for subject, held in holdings.items()}
            self._expected[id(holdings)] = expected
        subject = Subject(raw["tenant"], raw["point"], raw["role"])
        held = frozenset(
            (s["point"], s["meter"], s["register"], decimal_of(s["multiplier"]), decimal_of(s["share"]))
            for s in raw["segments"]
        )
        if revision_of(raw) and not raw["segments"] and not decimal_of(raw["kwh"]):
            return  # written under an earlier configuration, withdrawn under this one
        if subject not in expected:
            self._report("plan", seq, f"interval {seq}: {subject.tenant or subject.point} holds nothing then")
        elif held != expected[subject] or len(held) != len(raw["segments"]):
            self._report("plan", seq, f"interval {seq}: meters, multipliers or shares are not those configured")
        else:
            period = plan.period_at(start_s, plan.points[raw["segments"][0]["point"]].schedule)
            if period != (raw["period"], raw["schedule"]):
                self._report("period", seq, f"interval {seq} says {raw['period']}, its schedule {period[0]}")

    def _as_intervals(self, seq: int, raw: Mapping[str, Any], from_s: int, to_s: int) -> None:
        if self._course.absent or not self._course.eras:
            return
        steps = self._energies.get((raw["tenant"], raw["point"]), {})
        found = [steps[s] for s in range(from_s, to_s, self._course.eras[-1].interval_s) if s in steps]
        for name, attribute in (("periods", "period"), ("quality_kwh", "quality")):
            sums: dict[str, Decimal] = {}
            for energy in found:
                part = getattr(energy, attribute)
                sums[part] = sums.get(part, Decimal(0)) + energy.kwh
            said = {key: decimal_of(value) for key, value in raw[name].items()}
            if any(said.get(key, 0) != sums.get(key, 0) for key in said.keys() | sums.keys()):
                self._report("total", seq, f"{raw['kind']} {seq}: {name} are not those of its intervals")

    def _counts(self, holding: Holding, start_s: int, end_s: int) -> bool:
        """Whether the meter's readings at both ends make energy: there, not falling, nothing broken off between."""
        answers = self._slots.answers.get(holding.meter, {})
        texts = []
        for slot_s in (start_s, end_s):
            answer = answers.get(slot_s)
            if answer is None or not answer.is_reading:
                return False
            texts.append(self._slots.values[answer.seq].registers.get(holding.register))
        if None in texts or decimal_of(texts[1]) < decimal_of(texts[0]):
            return False
        margin_s = end_s - start_s
        return not any(start_s - margin_s <= t <= end_s + 2 * margin_s for t in self._breaks.get(holding.meter, ()))

    def _first_answer_s(self, era: Era) -> int:
        """The first slot that anybody answered, so that an epoch's empty beginning is not walked through."""
        firsts = [min(slots) for slots in self._slots.answers.values() if slots]
        return slot_from(era, min(firsts)) if firsts else NEVER_S


def _held(holding: Holding) -> tuple[str, str, str, Decimal, Decimal]:
    return holding.point, holding.meter, holding.register, holding.multiplier, holding.share
