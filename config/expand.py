"""Short forms → points and tenancies written out, instants in UTC. No I/O.

A meter that no point names has a point of its own id, from the beginning, with the whole share. A point that names
it wins over that; a tenancy of the point wins over the meter's `tenant`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from config import scalars
from config.faults import Findings, Path, Wrong
from config.model import Meter, Point, PointMeter
from config.sections import Entry, Sections


@dataclass(slots=True)
class Stretch:
    """One meter at a point for a time. Bounds in UTC, None: unbounded."""

    path: Path
    meter: str
    start: datetime | None
    end: datetime | None
    multiplier: str


@dataclass(slots=True)
class Spot:
    """A point, written out or implied. `path`: the point's, or the meter's whose short form it is."""

    path: Path
    id: str
    role: str
    parent: str | None = None
    register: str = "import"
    account: str | None = None
    schedule: str | None = None
    stretches: list[Stretch] = field(default_factory=list)
    implied: bool = False


@dataclass(slots=True)
class Hold:
    """One tenant's share of a point for a time."""

    path: Path
    point: str
    tenant: str
    share: Decimal
    start: datetime | None
    end: datetime | None


BEGINNING = datetime.fromisoformat("0001-01-01T00:00:00+00:00")
END = datetime.fromisoformat("9999-12-31T00:00:00+00:00")


def overlap(one: Stretch | Hold, other: Stretch | Hold) -> bool:
    """Whether both hold at some instant."""
    return (one.start or BEGINNING) < (other.end or END) and (other.start or BEGINNING) < (one.end or END)


@dataclass(slots=True)
class Draft:
    """What the configuration says about points, in the order of the file."""

    spots: list[Spot]
    holds: list[Hold]


def expand(sections: Sections, findings: Findings) -> Draft:
    """Writes every short form out."""
    offset = sections.park.utc_offset if sections.park else "+08:00"
    meters = {entry.of.id: entry for entry in sections.meters}
    spots = [_written(entry.path, entry.of, meters, offset, findings) for entry in sections.points]
    named = {stretch.meter for spot in spots for stretch in spot.stretches} | _named_in_vain(sections)
    for entry in sections.meters:
        if entry.of.id not in named:
            spots.append(_implied(entry))
            named.add(entry.of.id)  # an id that is there twice is one fault, not a second point
    holds = [
        Hold(
            entry.path,
            entry.of.point,
            entry.of.tenant,
            Decimal(entry.of.share),
            *_bounds(entry.path, entry.of.from_, entry.of.to, offset, findings),
        )
        for entry in sections.tenancies
    ]
    return Draft(spots, [*holds, *_short_holds(spots, holds, meters, findings)])


def _named_in_vain(sections: Sections) -> set[str]:
    """Points that could not be typed may name any meter: imply nothing about those of their id."""
    typed = {entry.of.id for entry in sections.points}
    return sections.ids["points"] - typed


def _written(path: Path, point: Point, meters: dict[str, Entry[Meter]], offset: str, findings: Findings) -> Spot:
    items: list[tuple[Path, PointMeter]]
    if point.meters is None and point.id in meters:
        items = [(path, PointMeter.model_validate({"meter": point.id}))]
    elif not point.meters:
        findings.fault(
            (*path, "meters"),
            "要写明由哪块表计量(meters: [{meter: …}])",
            "says of no meter that it measures it (meters: [{meter: …}])",
        )
        items = []
    else:
        items = [((*path, "meters", n), item) for n, item in enumerate(point.meters)]
    stretches = []
    for at, item in items:
        own = meters.get(item.meter)
        multiplier = item.multiplier or (own.of.multiplier if own else None) or "1"
        start, end = _bounds(at, item.from_, item.to, offset, findings)
        stretches.append(Stretch(at, item.meter, start, end, multiplier))
    stretches.sort(key=lambda s: s.start.timestamp() if s.start else float("-inf"))
    for stretch, following in pairwise(stretches):
        if stretch.end is None:
            stretch.end = following.start
    roles = {meters[s.meter].of.role for s in stretches if s.meter in meters} - {None}
    role = point.role or (roles.pop() if len(roles) == 1 else None) or "tenant"
    return Spot(path, point.id, role, point.parent, point.register_, point.account, point.schedule, stretches)


def _implied(entry: Entry[Meter]) -> Spot:
    meter = entry.of
    stretch = Stretch(entry.path, meter.id, None, None, meter.multiplier or "1")
    return Spot(entry.path, meter.id, meter.role or "tenant", stretches=[stretch], implied=True)


def _short_holds(
    spots: list[Spot], holds: list[Hold], meters: dict[str, Entry[Meter]], findings: Findings
) -> Iterator[Hold]:
    """`tenant:` of a meter, for points whose tenancies are not written out."""
    written = {hold.point for hold in holds}
    for spot in spots:
        if spot.id in written:
            continue
        written.add(spot.id)
        named = [meters[s.meter] for s in spot.stretches if s.meter in meters and meters[s.meter].of.tenant]
        tenants = {entry.of.tenant for entry in named}
        if len(tenants) > 1:
            listed = " ".join(sorted(str(tenant) for tenant in tenants))
            findings.fault(
                (*named[-1].path, "tenant"),
                f"计量点 {spot.id} 的各表写了不同租户({listed}),请用 tenancies 写明",
                f"the meters of point {spot.id} name different tenants ({listed}); write its tenancies out",
            )
        elif named:
            entry = named[0]
            yield Hold((*entry.path, "tenant"), spot.id, str(entry.of.tenant), Decimal(1), None, None)


def _bounds(
    path: Path, start: str | None, end: str | None, offset: str, findings: Findings
) -> tuple[datetime | None, datetime | None]:
    try:
        first = scalars.instant(start, offset) if start else None
        last = scalars.instant(end, offset) if end else None
    except Wrong as wrong:  # both were read before; what is left is a park offset that takes them out of the calendar
        findings.fault(path, wrong.zh, wrong.en)
        return None, None
    if first and last and last <= first:
        findings.fault((*path, "to"), "终止不晚于起始", "ends no later than it begins")
        return first, None
    return first, last
