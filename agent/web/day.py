"""A meter's day against its neighbours: its power step by step, and the shape of the others on its line.

The neighbours' shape is the median of their powers, each as a part of its own day's energy, times this meter's energy:
what this meter would have drawn, had it lived as they did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import median

from agent.web.drawing import DayChart, day_chart, path, spark
from agent.web.frame import QUALITIES, STATES, Asked, age, facts, local, meter_link, number, page, why_text
from agent.web.html import Child, Html, Say, el
from agent.web.park import holder
from agent.web.snapshot import MeterNow, Snapshot
from contract.energy import SlotValue
from contract.grid import DAY_S

NEIGHBOURS = 40  # shown; the shape is of all
DRAWN = (96, 40)


@dataclass(frozen=True, slots=True)
class Day:
    """A local day of a meter and its neighbours: mean power of each step, None where unknown."""

    from_s: int
    own: Sequence[Decimal | None]
    others: Mapping[str, Sequence[Decimal | None]]

    def like(self) -> list[float | None]:
        """The neighbours' shape at this meter's size."""
        energy = _sum(self.own)
        parts = [(powers, _sum(powers)) for powers in self.others.values()]
        parts = [(powers, total) for powers, total in parts if total > 0]
        shape: list[float | None] = []
        for n in range(len(self.own)):
            found = [float(kw / total) for powers, total in parts if (kw := powers[n]) is not None]
            shape.append(median(found) if found else None)
        # the median's own sum is not one: brought to this meter's energy over the steps that both know
        weight = sum(part for part, kw in zip(shape, self.own, strict=True) if part is not None and kw is not None)
        return [None if part is None or not weight else part / weight * float(energy) for part in shape]


def day_of(snapshot: Snapshot, meter: MeterNow, from_s: int, read: Mapping[str, Mapping[int, SlotValue]] | None) -> Day:
    """`read`: values of a day that is no longer in memory."""
    step_s = snapshot.interval_s
    ends = range(from_s + step_s, from_s + DAY_S + 1, step_s)

    def powers(one: MeterNow) -> list[Decimal | None]:
        seen = one if read is None else replace(one, values=read.get(one.id, {}))
        return [seen.kw_at(slot_s, step_s) for slot_s in ends]

    beside = [other for other in snapshot.meters.values() if other.line == meter.line and other.id != meter.id]
    beside = [other for other in beside if other.role == meter.role]
    return Day(from_s, powers(meter), {other.id: powers(other) for other in beside})


def day_page(snapshot: Snapshot, asked: Asked, meter: MeterNow, day: Day) -> Html:
    say = asked.say
    date = local(snapshot, day.from_s, "%Y-%m-%d")
    before = local(snapshot, day.from_s - DAY_S, "%Y-%m-%d")
    after = local(snapshot, day.from_s + DAY_S, "%Y-%m-%d")
    steps = el(
        "p",
        el("a", f"← {before}", href=asked.url(day=before)),
        el("b", date),
        el("a", f"{after} →", href=asked.url(day=after)) if day.from_s + DAY_S <= snapshot.now_s else el("span"),
        class_="steps",
    )
    chart = day_chart(DayChart([], _floats(day.own), day.like()), say)
    legend = el(
        "p",
        el("span", say("本表", "this meter"), class_="own"),
        el(
            "span",
            say("同线路同类各表的形状,折合本表电量", "shape of its like on the line, at this meter's energy"),
            class_="like",
        ),
        class_="legend",
    )
    title = f"{meter.id} {meter.room}".strip()
    return page(
        snapshot,
        asked,
        title,
        el("h2", title),
        _about(meter, snapshot, say),
        steps,
        el("figure", chart, id="day", data_url=f"/meter/{meter.id}/day.json?day={date}"),
        legend,
        el("h2", say("当日电量与邻表", "The day's energy beside its neighbours")),
        _neighbours(meter, day, snapshot, say),
        script="day.js",
    )


def day_document(snapshot: Snapshot, day: Day) -> dict[str, object]:
    """What uPlot draws: starts of the steps in UTC seconds, kW of both curves, null where unknown."""
    starts = list(range(day.from_s, day.from_s + DAY_S, snapshot.interval_s))
    offset_s = snapshot.plan.utc_offset_s
    return {"offset_s": offset_s, "at": starts, "own": _floats(day.own), "like": day.like()}


def _about(meter: MeterNow, snapshot: Snapshot, say: Say) -> Html:
    seen = None if meter.seen_s is None else snapshot.now_s - meter.seen_s
    state = say(*STATES[meter.state]) + (f" · {why_text(meter.why, say)}" if meter.why else "")
    direction = say("反向", "export") if meter.register == "export" else say("正向", "import")
    pairs: list[tuple[str, Child]] = [
        (say("状态", "state"), el("span", state, id="state", data_state=meter.state)),
        (say("示数", "register"), f"{number(meter.value)} kWh ({direction})"),
        (say("倍率", "multiplier"), number(meter.multiplier)),
        (say("功率", "power"), f"{number(meter.kw, 2)} kW"),
        (say("质量", "quality"), say(*QUALITIES[meter.quality]) if meter.quality else "–"),
        (say("距今", "age"), age(seen, say)),
        (say("租户", "tenant"), holder(meter, say)),
        (say("线路", "line"), f"{meter.line or '–'} · {meter.protocol}"),
    ]
    if meter.since_s is not None:
        pairs.insert(1, (say("失联自", "gone since"), local(snapshot, meter.since_s)))
    return facts(pairs)


def _neighbours(meter: MeterNow, day: Day, snapshot: Snapshot, say: Say) -> Html:
    """This meter first, then those beside it, by energy."""
    hours = Decimal(snapshot.interval_s) / 3600
    others = sorted(day.others.items(), key=lambda item: -_sum(item[1]))[:NEIGHBOURS]
    rows = []
    for id_, powers in [(meter.id, day.own), *others]:
        one = snapshot.meters[id_]
        known = [kw for kw in powers if kw is not None]
        rows.append(
            el(
                "tr",
                el("td", meter_link(id_), class_="id"),
                el("td", one.room, class_="room"),
                el("td", holder(one, say), class_="tenant"),
                el("td", number(_sum(powers) * hours, 1), class_="num", data_title="kWh"),
                el("td", number(max(known, default=None), 2), class_="num", data_title=say("最大 kW", "peak kW")),
                el("td", spark(path(_floats(powers), *DRAWN)), class_="trend"),
                class_="this" if id_ == meter.id else None,
            )
        )
    titles = [
        say("电表", "meter"),
        say("房号", "room"),
        say("租户", "tenant"),
        "kWh",
        say("最大 kW", "peak kW"),
        say("当日", "day"),
    ]
    kinds = ["id", "room", "tenant", "num", "num", "trend"]
    head = el("tr", [el("th", title, class_=kind, scope="col") for kind, title in zip(kinds, titles, strict=True)])
    return el("table", el("thead", head), el("tbody", rows), class_="cards", id="neighbours")


def _sum(powers: Sequence[Decimal | None]) -> Decimal:
    return sum((kw for kw in powers if kw is not None), Decimal(0))


def _floats(powers: Sequence[Decimal | None]) -> list[float | None]:
    return [None if kw is None else float(kw) for kw in powers]
