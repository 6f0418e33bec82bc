"""The park as its configuration describes it, instant by instant: which meter stands where, who holds what (pure).

    config record ──▶ Plan ──▶ holdings(step) ──▶ {subject: [(point, meter, multiplier, share), …]}

Read from the body of a `config` record alone, so the gateway and any auditor get the same plan. All instants are UTC
seconds; validity is half-open `[from, to)` and its bounds lie on slots, so that every step of the grid has one meter
a point and one share a holder. What is left of a point by its tenancies is held by the point itself; vacant parts of a
tenant's point count as the operator's (a vacancy is not the next tenant's). What a sub-meter behind a point took is
taken off its parent's holders, each by its share; generation and storage behind a point are not use and stay there.
It reads no meter and adds no energy: `ledger` does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal, cast

from contract.grid import Closing, Grid, parse_utc_offset
from contract.records import Period, Role, parse_slot

Register = Literal["import", "export"]
PeriodAt = Callable[[int, str | None], tuple[Period, str]]  # instant, schedule of the point → period, `id@version`

END_USE: tuple[Role, ...] = ("tenant", "operator", "public")
_ALWAYS_S = -(2**62)
_NEVER_S = 2**62


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an interval belongs to: a tenant, or a point that no tenant holds (or not wholly). One of the two is set."""

    tenant: str | None
    point: str | None
    role: Role


@dataclass(frozen=True, slots=True)
class Holding:
    """A meter's part in a subject's energy: (end − start) × multiplier × share.

    `share` is negative for a nested sub-meter. `own`: its registers may stand in the subject's record.
    """

    point: str
    meter: str
    register: Register
    multiplier: Decimal
    share: Decimal

    @property
    def own(self) -> bool:
        return self.share == 1


@dataclass(frozen=True, slots=True)
class Fitting:
    """A meter at a point from one slot to another, and what turns its register into kWh."""

    meter: str
    from_s: int
    to_s: int
    multiplier: Decimal


@dataclass(frozen=True, slots=True)
class Tenancy:
    """A tenant's share of a point from one slot to another."""

    tenant: str
    from_s: int
    to_s: int
    share: Decimal


@dataclass(frozen=True, slots=True)
class Point:
    """A metering point: the place, whatever meter is there and whoever holds it. Both lists in order of time."""

    id: str
    role: Role
    parent: str | None
    register: Register
    schedule: str | None
    fittings: tuple[Fitting, ...]
    tenancies: tuple[Tenancy, ...]

    def fitting_at(self, step_start_s: int) -> Fitting | None:
        """What measures the step that starts here; None without a meter."""
        return next((f for f in self.fittings if f.from_s <= step_start_s < f.to_s), None)

    def is_between_meters(self, step_start_s: int) -> bool:
        """Whether one meter is gone and the next not yet there: energy flows and nothing counts it."""
        if not self.fittings or self.fitting_at(step_start_s) is not None:
            return False
        return self.fittings[0].from_s <= step_start_s < self.fittings[-1].to_s

    def shares_at(self, step_start_s: int) -> dict[str | None, Decimal]:
        """Who holds how much over the step; None stands for what no tenant holds. Raises ValueError above 1."""
        shares: dict[str | None, Decimal] = {}
        for tenancy in self.tenancies:
            if tenancy.from_s <= step_start_s < tenancy.to_s:
                shares[tenancy.tenant] = shares.get(tenancy.tenant, Decimal(0)) + tenancy.share
        vacant = 1 - sum(shares.values(), Decimal(0))
        if vacant < 0:
            raise ValueError(f"tenancies of point {self.id}: shares add up to {1 - vacant}")
        if vacant:
            shares[None] = vacant
        return shares


Holdings = Mapping[Subject, list[Holding]]
Parts = Mapping[str, list[Subject]]  # meter → who holds what it measures, or what it takes off


@dataclass(frozen=True)
class Plan(Grid):
    """The grid, the points in their order of configuration, and the rule from instants to tariff periods."""

    points: Mapping[str, Point]
    moduli: Mapping[str, Decimal]  # meter → 10 to its digits before the point; meters without `digits` are absent
    period_at: PeriodAt
    _bounds: tuple[int, ...] = field(init=False, repr=False)
    _fittings_of: dict[str, list[Fitting]] = field(init=False, repr=False, compare=False, default_factory=dict)
    _points_of: dict[str, list[Point]] = field(init=False, repr=False, compare=False, default_factory=dict)
    _behind: dict[str, list[Point]] = field(init=False, repr=False, compare=False, default_factory=dict)  # end users
    _known: dict[int, Holdings] = field(init=False, repr=False, compare=False, default_factory=dict)
    _known_parts: dict[int, Parts] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        bounds: set[int] = set()
        for point in self.points.values():
            if point.parent is not None and point.role in END_USE:
                self._behind.setdefault(point.parent, []).append(point)
            for meter in {fitting.meter for fitting in point.fittings}:
                self._points_of.setdefault(meter, []).append(point)
            for fitting in point.fittings:
                self._fittings_of.setdefault(fitting.meter, []).append(fitting)
            for pieces in (point.fittings, point.tenancies):
                bounds.update(bound for piece in pieces for bound in (piece.from_s, piece.to_s))
        bounds -= {_ALWAYS_S, _NEVER_S}
        for bound in bounds:
            self.require_slot(bound, "a bound in points or tenancies")
        object.__setattr__(self, "_bounds", tuple(sorted(bounds)))
        for point in self.points.values():
            self._refuse_cycle(point)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], period_at: PeriodAt) -> Plan:
        """Reads the body of a `config` record. Raises ValueError naming the key that does not fit."""
        settings = config["settings"]
        tenancies: dict[str, list[Mapping[str, Any]]] = {entry["id"]: [] for entry in config["points"]}
        for tenancy in config["tenancies"]:
            if tenancy["point"] not in tenancies:
                raise ValueError(f"tenancies: there is no point {tenancy['point']}")
            tenancies[tenancy["point"]].append(tenancy)
        points = {entry["id"]: _read_point(entry, tenancies[entry["id"]]) for entry in config["points"]}
        return cls(
            interval_s=settings["interval_s"],
            utc_offset_s=parse_utc_offset(settings["utc_offset"]),
            closings=tuple(Closing.parse(text) for text in settings["closings"]),
            points=points,
            moduli={m["id"]: Decimal(10) ** int(m["digits"]) for m in config["meters"] if m.get("digits") is not None},
            period_at=period_at,
        )

    def meters_in_force(self, slot_s: int) -> list[str]:
        """Meters that measure the step starting at the slot, in order of points."""
        fittings = (point.fitting_at(slot_s) for point in self.points.values())
        return list(dict.fromkeys(fitting.meter for fitting in fittings if fitting is not None))

    def meters_due(self, slot_s: int) -> list[str]:
        """Meters whose value at the slot bounds a step: of the one that ends here or of the one that starts here."""
        both = [*self.meters_in_force(slot_s - self.interval_s), *self.meters_in_force(slot_s)]
        return list(dict.fromkeys(both))

    def is_due(self, meter: str, slot_s: int) -> bool:
        """Whether the meter's value at the slot bounds a step that it measures."""
        return any(fitting.from_s <= slot_s <= fitting.to_s for fitting in self._fittings_of.get(meter, ()))

    def is_retired(self, meter: str, at_s: int) -> bool:
        """Whether the meter was fitted somewhere and is nowhere any more, from an instant on."""
        fittings = self._fittings_of.get(meter, ())
        return bool(fittings) and all(fitting.to_s <= at_s for fitting in fittings)

    def point_of(self, meter: str, slot_s: int) -> str | None:
        """The point at which the meter measures the step starting at the slot."""
        for point in self._points_of.get(meter, ()):
            fitting = point.fitting_at(slot_s)
            if fitting is not None and fitting.meter == meter:
                return point.id
        return None

    def holdings(self, step_start_s: int) -> Holdings:
        """Who holds what over the step that starts here, tenants and points in order of configuration.

        A subject with an empty list holds a point that stands between two meters: no interval can be made for it.
        Points before their first meter and after their last are nobody's.
        """
        era = bisect_right(self._bounds, step_start_s)
        known = self._known.get(era)
        if known is None:
            known = self._known[era] = self._make_holdings(step_start_s)
        return known

    def holdings_of(self, step_start_s: int, meters: Iterable[str]) -> Holdings:
        """Of `holdings`, those in which any of the meters has a part."""
        held = self.holdings(step_start_s)
        era = bisect_right(self._bounds, step_start_s)
        parts = self._known_parts.get(era)
        if parts is None:
            parts = self._known_parts[era] = _parts_of(held)
        return {subject: held[subject] for meter in meters for subject in parts.get(meter, ())}

    def eras(self, from_s: int, to_s: int) -> Iterator[tuple[int, int, Holdings]]:
        """Cuts `[from_s, to_s)` where anything about meters or tenancies changes. Raises ValueError off the slots."""
        self.require_slot(from_s, "from")
        self.require_slot(to_s, "to")
        inner = [bound for bound in self._bounds if from_s < bound < to_s]
        edges = [from_s, *inner, to_s]
        for start, end in pairwise(edges):
            if start < end:
                yield start, end, self.holdings(start)

    def subjects(self, from_s: int, to_s: int) -> list[Subject]:
        """Everybody who holds something within the bounds."""
        return list(dict.fromkeys(subject for _, _, held in self.eras(from_s, to_s) for subject in held))

    def expected_steps(self, subject: Subject, from_s: int, to_s: int) -> Iterator[int]:
        """Starts of the steps within the bounds for which the subject is owed an interval."""
        for start, end, held in self.eras(from_s, to_s):
            if subject in held:
                yield from range(start, end, self.interval_s)

    def end_use_parent(self, point: Point) -> bool:
        """Whether the point's energy is part of what another end-use point measures."""
        return point.parent is not None and point.role in END_USE and self.points[point.parent].role in END_USE

    def _make_holdings(self, step_start_s: int) -> Holdings:
        held: dict[Subject, list[Holding]] = {}
        unmeasured: set[Subject] = set()
        for point in self.points.values():
            parts = [point, *self._behind.get(point.id, ())]
            fittings = [(part, part.fitting_at(step_start_s)) for part in parts]
            hole = any(part.is_between_meters(step_start_s) for part in parts)
            if fittings[0][1] is None and not point.is_between_meters(step_start_s):
                continue
            for tenant, share in point.shares_at(step_start_s).items():
                subject = _subject(point, tenant)
                holdings = held.setdefault(subject, [])
                if hole:
                    unmeasured.add(subject)
                for part, fitting in fittings:
                    if fitting is not None:
                        part_share = share if part is point else -share
                        holdings.append(Holding(part.id, fitting.meter, part.register, fitting.multiplier, part_share))
        return {subject: [] if subject in unmeasured else holdings for subject, holdings in held.items()}

    def _refuse_cycle(self, point: Point) -> None:
        seen = [point.id]
        parent = point.parent
        while parent is not None:
            if parent not in self.points:
                raise ValueError(f"points: {seen[-1]} has the parent {parent}, which does not exist")
            if parent in seen:
                raise ValueError(f"points: {' behind '.join([*seen, parent])} is a circle")
            seen.append(parent)
            parent = self.points[parent].parent


def _parts_of(held: Holdings) -> Parts:
    parts: dict[str, list[Subject]] = {}
    for subject, holdings in held.items():
        for meter in {holding.meter for holding in holdings}:
            parts.setdefault(meter, []).append(subject)
    return parts


def _subject(point: Point, tenant: str | None) -> Subject:
    if tenant is not None:
        return Subject(tenant, None, "tenant")
    return Subject(None, point.id, "operator" if point.role == "tenant" else point.role)


def _read_point(entry: Mapping[str, Any], tenancies: list[Mapping[str, Any]]) -> Point:
    return Point(
        id=entry["id"],
        role=entry["role"],
        parent=entry["parent"],
        register=cast(Register, entry["register"]),
        schedule=entry["schedule"],
        fittings=_read_fittings(entry),
        tenancies=tuple(
            Tenancy(t["tenant"], _read_bound(t["from"], _ALWAYS_S), _read_bound(t["to"], _NEVER_S), Decimal(t["share"]))
            for t in tenancies
        ),
    )


def _read_fittings(entry: Mapping[str, Any]) -> tuple[Fitting, ...]:
    """An entry without `to` ends where the next begins."""
    raw = entry["meters"]
    starts = [_read_bound(m["from"], _ALWAYS_S) for m in raw]
    fittings = []
    for m, start, following in zip(raw, starts, [*starts[1:], _NEVER_S], strict=True):
        end = _read_bound(m["to"], following)
        if not start < end <= following:
            raise ValueError(f"points: the meters of {entry['id']} do not follow one another")
        fittings.append(Fitting(m["meter"], start, end, Decimal(m["multiplier"])))
    return tuple(fittings)


def _read_bound(text: str | None, unbounded: int) -> int:
    return unbounded if text is None else parse_slot(text)
