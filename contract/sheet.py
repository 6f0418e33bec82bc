"""The meter-reading sheet: one row a point and meter, registers and energy as a person would read them off (pure).

    at an instant     registers at the slot, or on the line between the two slots beside it        no energy
    between slots     registers at both ends; (end − start) × multiplier, exactly; periods of the intervals

A change of meter, multiplier or tenancy within the bounds splits rows. `t1` … `t5` are the meter's own tariff
registers, `total` the register that the point is billed by. What is not known is absent and its quality `missing`,
never zero. A row is the meter's whole energy: shares and sub-meters behind it are the ledger's matter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any, Literal

from contract.energy import EXACT, ValueAt, interpolate
from contract.plan import Fitting, Plan, Point
from contract.records import (
    PERIODS,
    QUALITIES,
    Event,
    Quality,
    parse_instant,
    parse_slot,
    plain,
    slot_instant,
)

SheetQuality = Literal["measured", "interpolated", "estimated", "substituted", "missing"]
GRADES: tuple[SheetQuality, ...] = (*QUALITIES, "missing")  # worst last
TARIFFS = ("t1", "t2", "t3", "t4", "t5")  # by the usual order 尖 峰 平 谷 深谷
BREAKS = ("register_fell", "register_jumped", "serial_changed")  # events after which a difference is no consumption

Breaks = Mapping[str, Mapping[int, str]]  # meter → slot from which on registers do not connect to before → event code


@dataclass(frozen=True, slots=True)
class Bound:
    """A meter at an instant: `total`, `t1` … `t5` in kWh before the multiplier, as far as they are known."""

    at_s: int
    registers: Mapping[str, Decimal]
    quality: SheetQuality


# What `Row.figures` may hold, in the order of a sheet's columns: name, zh, en
FIGURES = (
    ("start_total", "起示数", "start"),
    ("total", "示数", "reading"),
    ("t1", "尖", "t1"),
    ("t2", "峰", "t2"),
    ("t3", "平", "t3"),
    ("t4", "谷", "t4"),
    ("t5", "深谷", "t5"),
    ("multiplier", "倍率", "multiplier"),
    ("kwh", "电量", "kWh"),
    ("kwh_sharp", "电量尖", "sharp"),
    ("kwh_peak", "电量峰", "peak"),
    ("kwh_flat", "电量平", "flat"),
    ("kwh_valley", "电量谷", "valley"),
    ("kwh_deep_valley", "电量深谷", "deep valley"),
    ("kwh_other", "电量其他", "other"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the sheet. `start` is None at a mere instant; `holders`: (tenant, or None for vacant, and share).

    `kwh`: (end − start) × multiplier; `periods`: what the intervals give of it, by period; `why`: the code of the event
    that makes the difference no consumption, "" if none; `settles`: false while the meter waits to be accepted.
    """

    point: str
    role: str
    meter: str
    serial: str | None
    room: str | None
    holders: tuple[tuple[str | None, Decimal], ...]
    register: str
    multiplier: Decimal
    start: Bound | None
    end: Bound
    kwh: Decimal | None
    periods: Mapping[str, Decimal]
    quality: SheetQuality
    why: str = ""
    settles: bool = True

    def figures(self) -> dict[str, Decimal]:
        """Everything numeric that is known: `multiplier`, `total`, `t1` …, `start_total`, `start_t1` …, `kwh`,
        `kwh_sharp` … and `kwh_other`, which is energy of no period, or of steps that have no interval."""
        known = {"multiplier": self.multiplier, **self.end.registers}
        if self.start is not None:
            known |= {f"start_{name}": value for name, value in self.start.registers.items()}
        if self.kwh is not None:
            known["kwh"] = self.kwh
            known |= {f"kwh_{name}": self.periods[name] for name in PERIODS if name in self.periods}
            with localcontext(EXACT):
                other = self.kwh - sum((self.periods.get(name, Decimal(0)) for name in PERIODS), Decimal(0))
            if other:
                known["kwh_other"] = other
        return known


@dataclass(slots=True)
class Split:
    """Energy of each point and meter by tariff period, from interval records that are told newest first.

    So of several revisions the first one told counts. Keeps sums only, between the edges it was made with.
    """

    edges: list[int]  # slots in order; a row's bounds are among them
    kwh: dict[tuple[str, str, int], dict[str, Decimal]] = field(default_factory=dict)  # point, meter, edge → period
    moduli: dict[tuple[str, str, int], Decimal] = field(default_factory=dict)
    grades: dict[tuple[str, str, int], Quality] = field(default_factory=dict)
    _revised: set[tuple[int, str, str]] = field(default_factory=set)

    def add(self, interval: Mapping[str, Any]) -> None:
        """Takes an interval as its JSON says it: a month of a park has more of them than are worth building up."""
        start_s = parse_slot(interval["start"])
        edge = bisect_right(self.edges, start_s) - 1
        if not 0 <= edge < len(self.edges) - 1 or self._superseded(start_s, interval):
            return
        period: str = interval["period"]
        with localcontext(EXACT):
            for segment in interval["segments"]:
                share = Decimal(segment["share"])
                if share <= 0:
                    continue  # a sub-meter taken off: its own energy stands in another interval
                key = (segment["point"], segment["meter"], self.edges[edge])
                sums = self.kwh.setdefault(key, {})
                sums[period] = sums.get(period, Decimal(0)) + Decimal(segment["kwh"])
                grade: Quality = segment["quality"]
                self.grades[key] = max(self.grades.get(key, grade), grade, key=QUALITIES.index)
                if "rollover" in segment:
                    self.moduli[key] = self.moduli.get(key, Decimal(0)) + Decimal(segment["rollover"]) * share

    def _superseded(self, start_s: int, interval: Mapping[str, Any]) -> bool:
        key = (start_s, interval["tenant"] or "", interval["point"] or "")
        newer = key in self._revised
        if interval["revision"]:
            self._revised.add(key)
        else:
            self._revised.discard(key)
        return newer


def break_slot(plan: Plan, body: Event) -> int | None:
    """The slot from which on the meter's registers do not connect to before; None for other events."""
    if body.scope != "meter" or body.code not in BREAKS or body.from_ is None:
        return None
    return plan.slot_floor(parse_instant(body.from_) // 1000 + plan.interval_s // 2)


def slots_beside(plan: Plan, at_s: int) -> tuple[int, ...]:
    """The slots whose values a sheet at an instant is made from: the instant, or its two neighbours."""
    floor = plan.slot_floor(at_s)
    return (at_s,) if floor == at_s else (floor, floor + plan.interval_s)


def sheet_edges(plan: Plan, from_s: int, to_s: int) -> list[int]:
    """The slots whose values a sheet between two slots is made from. Raises ValueError off the slots."""
    return sorted({from_s, to_s, *(start for start, _, _ in plan.eras(from_s, to_s))})


def sheet_at(plan: Plan, meters: Collection[Mapping[str, Any]], at_s: int, value: ValueAt) -> list[Row]:
    """Rows at an instant, points in order of configuration. `meters`: those of the configuration."""
    return [
        _row(point, meters, at_s, None, _bound(plan, point, fitting.meter, at_s, value))
        for point in plan.points.values()
        if (fitting := point.fitting_at(at_s)) is not None
    ]


def sheet_between(
    plan: Plan,
    meters: Collection[Mapping[str, Any]],
    from_s: int,
    to_s: int,
    value: ValueAt,
    split: Split,
    breaks: Breaks,
) -> list[Row]:
    """Rows between two slots, points in order of configuration. Raises ValueError off the slots.

    `split` was made with `sheet_edges` and told every interval within the bounds.
    """
    rows = []
    edges = sheet_edges(plan, from_s, to_s)
    for point in plan.points.values():
        for start_s, end_s in _pieces(point, edges):
            meter = _fitted(point, start_s).meter
            start, end = (_bound(plan, point, meter, s, value) for s in (start_s, end_s))
            row = _row(point, meters, start_s, start, end)
            rows.append(_with_energy(row, [edge for edge in edges if start_s <= edge < end_s], split, breaks))
    return rows


def with_acceptance(rows: Iterable[Row], lacking: Collection[str]) -> list[Row]:
    """The rows, those of meters that were not accepted yet marked so."""
    return [replace(row, settles=row.meter not in lacking) for row in rows]


def row_document(row: Row) -> dict[str, Any]:
    """The row as JSON: instants in UTC, numbers as decimal strings, null for what is not known."""
    return {
        "point": row.point,
        "role": row.role,
        "meter": row.meter,
        "serial": row.serial,
        "room": row.room,
        "holders": [{"tenant": tenant, "share": plain(share)} for tenant, share in row.holders],
        "register": row.register,
        "multiplier": plain(row.multiplier),
        "start": None if row.start is None else _bound_document(row.start),
        "end": _bound_document(row.end),
        "kwh": None if row.kwh is None else plain(row.kwh),
        "periods": {name: plain(kwh) for name, kwh in row.periods.items()},
        "quality": row.quality,
        "why": row.why,
        "settles": row.settles,
    }


def _bound_document(bound: Bound) -> dict[str, Any]:
    registers: dict[str, str | None] = dict.fromkeys(("total", *TARIFFS))
    registers |= {name: plain(register) for name, register in bound.registers.items()}
    return {"at": slot_instant(bound.at_s), "registers": registers, "quality": bound.quality}


def _fitted(point: Point, start_s: int) -> Fitting:
    fitting = point.fitting_at(start_s)
    assert fitting is not None
    return fitting


def _pieces(point: Point, edges: list[int]) -> Iterator[tuple[int, int]]:
    """Stretches over which the point keeps its meter, multiplier and holders; none where it has no meter."""
    begun: tuple[int, int] | None = None
    for start_s, end_s in pairwise(edges):
        same = begun is not None and _standing(point, begun[0]) == _standing(point, start_s)
        if begun is not None and not same:
            yield begun
            begun = None
        if point.fitting_at(start_s) is not None:
            begun = (begun[0] if begun is not None else start_s, end_s)
    if begun is not None:
        yield begun


def _standing(point: Point, start_s: int) -> tuple[Any, ...]:
    return point.fitting_at(start_s), point.shares_at(start_s)


def _bound(plan: Plan, point: Point, meter: str, at_s: int, value: ValueAt) -> Bound:
    """The meter at a slot, or on the line between the slots beside the instant."""
    known = [(slot_s, value(meter, slot_s)) for slot_s in slots_beside(plan, at_s)]
    values = [(slot_s, slot_value) for slot_s, slot_value in known if slot_value is not None]
    if len(values) < len(known):
        return Bound(at_s, {}, "missing")
    names = {"total": point.register, **{t: f"{point.register}_{t}" for t in TARIFFS}}
    first_s, first = values[0]
    last_s, last = values[-1]
    registers = {}
    for name, register in names.items():
        before, after = first.registers.get(register), last.registers.get(register)
        if before is None or after is None or before > after:
            continue  # a register that fell has no value in between
        on_slot = first_s == last_s
        registers[name] = (
            before if on_slot else interpolate((first_s * 1000, before), (last_s * 1000, after), at_s * 1000)
        )
    if "total" not in registers:
        return Bound(at_s, {}, "missing")
    between: SheetQuality = "measured" if first_s == last_s else "interpolated"
    return Bound(at_s, registers, max(first.quality, last.quality, between, key=GRADES.index))


def _row(point: Point, meters: Collection[Mapping[str, Any]], at_s: int, start: Bound | None, end: Bound) -> Row:
    fitting = _fitted(point, at_s)
    meter = next((entry for entry in meters if entry["id"] == fitting.meter), {})
    return Row(
        point=point.id,
        role=point.role,
        meter=fitting.meter,
        serial=meter.get("serial"),
        room=meter.get("room"),
        holders=tuple(point.shares_at(at_s).items()),
        register=point.register,
        multiplier=fitting.multiplier,
        start=start,
        end=end,
        kwh=None,
        periods={},
        quality=end.quality,
    )


def _with_energy(row: Row, edges: list[int], split: Split, breaks: Breaks) -> Row:
    """The row with its energy, if both ends are known and nothing broke in between."""
    start, end = row.start, row.end
    assert start is not None
    if "total" not in start.registers or "total" not in end.registers:
        return replace(row, quality="missing")
    keys = [(row.point, row.meter, edge) for edge in edges]
    why = next(
        (code for slot_s, code in sorted(breaks.get(row.meter, {}).items()) if start.at_s < slot_s <= end.at_s), ""
    )
    with localcontext(EXACT):
        moduli = sum((split.moduli.get(key, Decimal(0)) for key in keys), Decimal(0))
        difference = end.registers["total"] - start.registers["total"] + moduli
        if why or difference < 0:
            return replace(row, quality="missing", why=why or "register_fell")
        periods: dict[str, Decimal] = {}
        for key in keys:
            for period, kwh in split.kwh.get(key, {}).items():
                periods[period] = periods.get(period, Decimal(0)) + kwh
        kwh = difference * row.multiplier
    grades = [start.quality, end.quality, *(split.grades[key] for key in keys if key in split.grades)]
    periods = {period: _as_written(part, kwh) for period, part in periods.items()}
    return replace(row, kwh=kwh, periods=periods, quality=max(grades, key=GRADES.index))


def _as_written(part: Decimal, whole: Decimal) -> Decimal:
    """Without the zeros that a product with a share leaves behind the whole's last digit; its value is the same."""
    with localcontext(EXACT):
        shorter = part.normalize()
        finer = int(shorter.as_tuple().exponent) < int(whole.as_tuple().exponent)
        return shorter if finer else shorter.quantize(whole)
