"""Points, tenancies, schedules and the grid of slots: what holds at every instant. No I/O.

At any time a register of a meter belongs to one point, a point is measured by one meter, its shares add up to at most
1, and everything that begins or ends does so on a slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from config import scalars
from config.crosscheck import unknown
from config.expand import BEGINNING, END, Draft, Hold, Spot, Stretch, overlap
from config.faults import Findings, Path
from config.model import Park
from config.sections import Sections
from contract.schedule import Schedule


def check_points(sections: Sections, draft: Draft, findings: Findings) -> None:
    """Ids, references and parents."""
    points = {spot.id for spot in draft.spots} | sections.ids["points"]
    seen: set[str] = set()
    for spot in draft.spots:
        if spot.id in seen and spot.implied:
            findings.fault(
                (*spot.path, "id"),
                f"电表 {spot.id} 自有的计量点与 points 里的编号重复",
                f"the meter's own point {spot.id} has the id of another in points",
            )
        seen.add(spot.id)
        if spot.parent is not None and spot.parent not in points:
            unknown((*spot.path, "parent"), spot.parent, points, "计量点", "point", findings)
        for stretch in spot.stretches:
            if stretch.meter not in sections.ids["meters"]:
                unknown((*stretch.path, "meter"), stretch.meter, sections.ids["meters"], "电表", "meter", findings)
    tenants = sections.ids["tenants"]
    for hold in draft.holds:
        short = hold.path[-1] == "tenant"
        if hold.tenant not in tenants:
            path = hold.path if short else (*hold.path, "tenant")
            unknown(path, hold.tenant, tenants, "租户", "tenant", findings)
        if hold.point not in points:
            unknown((*hold.path, "point"), hold.point, points, "计量点", "point", findings)
    _check_holders(draft, findings)
    _check_cycles(draft.spots, findings)


def _check_holders(draft: Draft, findings: Findings) -> None:
    """What feeds in is nobody's use; common or operator's use that a tenant holds counts as the tenant's own."""
    roles = {spot.id: spot.role for spot in draft.spots}
    for hold in draft.holds:
        role = roles.get(hold.point, "tenant")
        path = hold.path if hold.path[-1] == "tenant" else (*hold.path, "point")
        if role == "master":
            findings.fault(path, "总表不归租户", "a master point belongs to no tenant")
        elif role in ("pv", "storage"):
            findings.fault(
                path,
                f"计量点 {hold.point}(role: {role})不是用电,不归租户",
                f"point {hold.point} of role {role} measures no use and belongs to no tenant",
            )
        elif role != "tenant":
            findings.notice(
                f"计量点 {hold.point} 的 role 是 {role},却有租户 {hold.tenant}:电量算该租户自用,不作公用分摊",
                f"point {hold.point} has the role {role} and the tenant {hold.tenant}: "
                "its energy counts as that tenant's own, not as common use",
            )


def _check_cycles(spots: Iterable[Spot], findings: Findings) -> None:
    by_id = {spot.id: spot for spot in spots}
    for spot in by_id.values():
        way = [spot.id]
        parent = spot.parent
        while parent in by_id and parent not in way:
            way.append(parent)
            parent = by_id[parent].parent
        if parent == spot.id:
            circle = " → ".join([*way, spot.id])
            findings.fault((*spot.path, "parent"), f"上级成环:{circle}", f"is its own ancestor: {circle}")


def check_meters_once(draft: Draft, findings: Findings) -> None:
    """No two meters at a point at once, no register of a meter in two points at once."""
    owners: dict[tuple[str, str], list[tuple[Stretch, str]]] = {}
    for spot in draft.spots:
        for before, after in pairwise(spot.stretches):
            if overlap(before, after):
                findings.fault(
                    (*after.path, "from"),
                    f"计量点 {spot.id} 同一时间有两块表({before.meter}、{after.meter}),或起始未写",
                    f"point {spot.id} has two meters at once ({before.meter}, {after.meter}), or lacks a beginning",
                )
        for stretch in spot.stretches:
            others = owners.setdefault((stretch.meter, spot.register), [])
            for other, owner in others:
                if owner != spot.id and overlap(other, stretch):
                    findings.fault(
                        (*stretch.path, "meter"),
                        f"电表 {stretch.meter} 同一时间已属计量点 {owner};一表多户请在一个计量点上写份额",
                        f"meter {stretch.meter} belongs to point {owner} at the same time; "
                        "tenants that share a meter have shares of one point",
                    )
            others.append((stretch, spot.id))


def check_shares(draft: Draft, findings: Findings) -> None:
    """Shares of a point add up to at most 1 at every instant."""
    holds: dict[str, list[Hold]] = {}
    for hold in draft.holds:
        holds.setdefault(hold.point, []).append(hold)
    for point, parts in holds.items():
        for hold in parts:
            start = hold.start or BEGINNING
            at_once = [h for h in parts if (h.start or BEGINNING) <= start < (h.end or END)]
            total = sum((h.share for h in at_once), Decimal(0))
            if total > 1:
                last = sorted(at_once, key=lambda h: h.start or BEGINNING)[-1]
                listed = ", ".join(f"{h.tenant} {scalars.plain(h.share)}" for h in at_once)
                since = scalars.utc_text(start) if hold.start else "-"
                findings.fault(
                    (*last.path, "share"),
                    f"计量点 {point} 自 {since} 起份额合计 {scalars.plain(total)} 超过 1({listed})",
                    f"shares of point {point} add up to {scalars.plain(total)}, more than 1, from {since} ({listed})",
                )
                break


def check_bounds(park: Park, draft: Draft, findings: Findings) -> None:
    """What begins or ends does so on a slot; closings too."""
    step = scalars.interval_seconds(park.interval)
    offset = scalars.zone(park.utc_offset)

    def check(path: Path, moment: datetime | None) -> None:
        if moment is None:
            return
        local = moment.astimezone(offset)
        beyond = (local.hour * 3600 + local.minute * 60 + local.second) % step
        if beyond:
            before = local - timedelta(seconds=beyond)
            after = before + timedelta(seconds=step)
            findings.fault(
                path,
                f"须落在 {park.interval} 的时格上:{before:%Y-%m-%d %H:%M:%S} 或 {after:%Y-%m-%d %H:%M:%S}",
                f"must fall on a slot of {park.interval}: {before:%Y-%m-%d %H:%M:%S} or {after:%Y-%m-%d %H:%M:%S}",
            )

    for spot in draft.spots:
        for stretch in spot.stretches:
            check((*stretch.path, "from"), stretch.start)
    for spot in draft.spots:
        begins = {stretch.start for stretch in spot.stretches}  # an end that was filled in is the next one's beginning
        for stretch in spot.stretches:
            check((*stretch.path, "to"), None if stretch.end in begins else stretch.end)
    for hold in draft.holds:
        check((*hold.path, "from"), hold.start)
        check((*hold.path, "to"), hold.end)
    for n, closing in enumerate(park.closings):
        minutes = int(closing[3:5]) * 60 + int(closing[6:8])
        if minutes * 60 % step:
            findings.fault(
                ("park", "closings", n), f"须落在 {park.interval} 的时格上", f"must fall on a slot of {park.interval}"
            )


def check_schedules(
    park: Park | None, sections: Sections, schedules: Mapping[str, Schedule], findings: Findings
) -> None:
    """Schedules exist, begin and end their periods on slots, and leave no doubt which one applies."""
    named: list[tuple[Path, str]] = []
    if park is not None:
        named = [(("park", "schedules", n), name) for n, name in enumerate(park.schedules)]
    chosen = [(path, name) for path, name in named if name in schedules]
    named += [((*e.path, "schedule"), e.of.schedule) for e in sections.points if e.of.schedule]
    for path, name in named:
        if name not in schedules:
            unknown(path, name, schedules, "分时时段表", "schedule", findings)
        elif park is not None:
            _check_schedule(path, schedules[name], park, findings)
    for n, (path, name) in enumerate(chosen):
        for _, earlier in chosen[:n]:
            one, other = schedules[name], schedules[earlier]
            if (one.valid_to is None or other.valid_from < one.valid_to) and (
                other.valid_to is None or one.valid_from < other.valid_to
            ):
                findings.fault(
                    path,
                    f"与 {earlier} 的有效期重叠;个别计量点可另写 schedule",
                    f"is valid at the same time as {earlier}; a point may name a schedule of its own",
                )
    if park is not None and not park.schedules:
        findings.notice(
            "没有分时时段表:电量不分峰谷(unclassified)", "no schedules: energy stays unclassified by period"
        )


def _check_schedule(path: Path, schedule: Schedule, park: Park, findings: Findings) -> None:
    step = scalars.interval_seconds(park.interval)
    off = sorted(minute for minute in schedule.bounds() if minute * 60 % step)
    if off:
        listed = " ".join(f"{minute // 60:02}:{minute % 60:02}" for minute in off[:3])
        findings.fault(
            ("park", "interval"),
            f"{schedule.id} 的时段界限 {listed} 不在 {park.interval} 的时格上",
            f"bounds of {schedule.id} ({listed}) do not fall on slots of {park.interval}",
        )
    if timedelta(seconds=schedule.utc_offset_s) != scalars.zone(park.utc_offset).utcoffset(None):
        findings.fault(
            path,
            f"时段表的时差与园区的 {park.utc_offset} 不同",
            f"is for another UTC offset than the park's {park.utc_offset}",
        )
