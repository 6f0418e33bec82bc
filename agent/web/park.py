"""The park at a glance: lines with their airtime, meters with age, quality, last value and a sparkline; search."""

from __future__ import annotations

from agent.web.drawing import spark, spark_path
from agent.web.frame import QUALITIES, ROLES, STATES, Asked, age, local, meter_link, number, page, why_text
from agent.web.html import Html, Say, el
from agent.web.snapshot import BAD, LineNow, MeterNow, Snapshot


class Sparks:
    """Paths of sparklines, drawn again only when a meter has a new value."""

    def __init__(self) -> None:
        self._paths: dict[str, tuple[tuple[int | None, int], str]] = {}

    def of(self, meter: MeterNow, snapshot: Snapshot) -> str:
        slot_s = snapshot.plan.slot_floor(snapshot.now_s)
        newest = meter.values.get(meter.slot_s) if meter.slot_s is not None else None
        sign = (None if newest is None else newest.seq, slot_s)
        known = self._paths.get(meter.id)
        if known is None or known[0] != sign:
            known = (sign, spark_path(meter, slot_s, snapshot.interval_s))
            self._paths[meter.id] = known
        return known[1]


def park_page(snapshot: Snapshot, asked: Asked, sparks: Sparks) -> Html:
    """`?q=` searches meter, room, tenant, point and line; `?only=bad` leaves out meters that are well."""
    say = asked.say
    wanted, only_bad = asked.get("q").strip().lower(), asked.get("only") == "bad"
    order = {state: n for n, state in enumerate((*BAD, "waiting"))}
    shown = [meter for meter in snapshot.meters.values() if not only_bad or meter.state in BAD]
    if wanted:
        shown = [meter for meter in shown if wanted in search_text(meter)]
    if only_bad:
        shown.sort(key=lambda meter: order.get(meter.state, 9))
    return page(
        snapshot,
        asked,
        say("园区", "Park"),
        el("h2", say("线路", "Lines")),
        el("ul", [_line(line, snapshot, say) for line in snapshot.lines.values()], class_="lines"),
        el("h2", say("电表", "Meters"), " ", el("small", str(len(shown)), id="count")),
        _search(asked, only_bad),
        _meters(shown, snapshot, sparks, say),
        el("p", say("没有符合的电表", "no meter fits"), id="none", class_="none", hidden=bool(shown)),
    )


def search_text(meter: MeterNow) -> str:
    """What search looks in, lower case."""
    return " ".join((meter.id, meter.room, meter.point, meter.line, *meter.tenants)).lower()


def line_cells(line: LineNow, snapshot: Snapshot, say: Say) -> tuple[str, str, str]:
    """(state, answering, sweep and airtime) of a line, as live values write them too."""
    if line.down_since_s is not None:
        state = say(
            f"端口断开,自 {local(snapshot, line.down_since_s)}", f"gone since {local(snapshot, line.down_since_s)}"
        )
    else:
        state = say("已连接", "open") if line.is_open else say("未打开", "not open")
    answering = say(f"{line.answering}/{line.meters} 应答", f"{line.answering}/{line.meters} answering")
    sweep = say(
        f"巡检 {line.sweep_s:.1f} s(预计 {line.foreseen_s:.1f} s),占用 {line.airtime:.1%}",
        f"sweep {line.sweep_s:.1f} s (foreseen {line.foreseen_s:.1f} s), airtime {line.airtime:.1%}",
    )
    return state, answering, sweep


def meter_cells(meter: MeterNow, say: Say) -> tuple[str, str, str, str]:
    """(state, value, kW, quality) of a meter, as live values write them too."""
    state = say(*STATES[meter.state])
    if meter.why and meter.state != "ok":
        state += f" · {why_text(meter.why, say)}"
    quality = say(*QUALITIES[meter.quality]) if meter.quality else "–"
    return state, number(meter.value), number(meter.kw, 2), quality


def _line(line: LineNow, snapshot: Snapshot, say: Say) -> Html:
    state, answering, sweep = line_cells(line, snapshot, say)
    return el(
        "li",
        el("b", line.id),
        el("span", state, class_="state"),
        el("span", answering, class_="answering"),
        el("meter", value=f"{line.airtime:.4f}", min="0", max="1", high="0.8", optimum="0.2"),
        el("span", sweep, class_="sweep"),
        el("span", f"{line.port} {line.speed}", class_="port"),
        id=f"line-{line.id}",
        data_bad=str(int(line.down_since_s is not None)),
    )


def _search(asked: Asked, only_bad: bool) -> Html:
    say = asked.say
    lens = el(
        "input",
        type="search",
        name="q",
        id="q",
        value=asked.get("q"),
        placeholder=say("表号、房号、租户、线路", "meter, room, tenant, line"),
        aria_label=say("查找电表", "search meters"),
        autocomplete="off",
    )
    tick = el("input", type="checkbox", name="only", value="bad", id="only", checked=only_bad)
    bad = el("label", tick, " ", say("只看异常", "only what is wrong"))
    return el(
        "form",
        lens,
        bad,
        el("button", say("查找", "Search")),
        class_="search",
        role="search",
        action="/",
    )


def _meters(shown: list[MeterNow], snapshot: Snapshot, sparks: Sparks, say: Say) -> Html:
    titles = (
        ("state", say("状态", "state")),
        ("id", say("电表", "meter")),
        ("room", say("房号", "room")),
        ("tenant", say("租户", "tenant")),
        ("line", say("线路", "line")),
        ("value num", say("示数 kWh", "register kWh")),
        ("kw num", "kW"),
        ("quality", say("质量", "quality")),
        ("age num", say("距今", "age")),
        ("trend", say("近 24 小时", "last 24 h")),
    )
    head = el("thead", el("tr", [el("th", title, class_=kind, scope="col") for kind, title in titles]))
    named = dict(titles)
    rows = [_meter(meter, snapshot, sparks, named, say) for meter in shown]
    return el("table", head, el("tbody", rows), id="meters", class_="cards")


def _meter(meter: MeterNow, snapshot: Snapshot, sparks: Sparks, titles: dict[str, str], say: Say) -> Html:
    state, value, kw, quality = meter_cells(meter, say)
    since = None if meter.seen_s is None else snapshot.now_s - meter.seen_s
    return el(
        "tr",
        el("td", state, class_="state"),
        el("td", meter_link(meter.id), class_="id"),
        el("td", meter.room, class_="room"),
        el("td", holder(meter, say), class_="tenant"),
        el("td", meter.line, class_="line"),
        el("td", value, class_="value num", data_title=titles["value num"]),
        el("td", kw, class_="kw num", data_title="kW"),
        el("td", quality, class_="quality", data_title=titles["quality"]),
        el("td", age(since, say), class_="age num", data_title=titles["age num"], data_seen=meter.seen_s),
        el("td", spark(sparks.of(meter, snapshot)), class_="trend"),
        id=f"m-{meter.id}",
        data_state=meter.state,
        data_text=search_text(meter),
    )


def holder(meter: MeterNow, say: Say) -> str:
    """Who holds the meter's point; its role where no tenant does."""
    if meter.tenants:
        return "、".join(meter.tenants)
    return say(*ROLES[meter.role]) if meter.role in ROLES else "–"
