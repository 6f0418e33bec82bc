"""What every page has around its own content: head, navigation, headline figures, language switch; and shown forms.

A page is whole without a script: `hubiao.js` only keeps figures fresh, filters as one types, and draws uPlot over SVG.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import quote, urlencode

from agent.web.html import Child, Html, Say, el, say_in
from agent.web.snapshot import BAD, Snapshot, State
from contract.events import EVENTS

MIB, GIB = 1 << 20, 1 << 30
STATES: dict[State, tuple[str, str]] = {
    "ok": ("正常", "ok"),
    "waiting": ("等待首次抄读", "not read yet"),
    "silent": ("未应答", "silent"),
    "gone": ("失联", "gone"),
    "refused": ("示数被拒", "refused"),
    "port": ("端口断开", "port gone"),
    "manual": ("人工抄表", "read by people"),
}
WHYS = {  # of gaps and refusals; events are named by contract.events
    "timeout": ("无应答", "timeout"),
    "noise": ("干扰", "noise"),
    "port": ("端口断开", "port gone"),
    "power": ("断电", "power"),
    "clock": ("时间不可信", "no time"),
    "disk": ("磁盘", "disk"),
    "config": ("配置", "configuration"),
    "refused": ("拒绝", "refused"),
}
QUALITIES = {
    "measured": ("实测", "measured"),
    "interpolated": ("内插", "interpolated"),
    "estimated": ("估算", "estimated"),
    "substituted": ("替代", "substituted"),
    "missing": ("缺失", "missing"),
}
CLOCKS = {"none": ("无可信时间", "no time"), "held": ("保持", "held"), "disciplined": ("已同步", "synchronised")}
PAGES = (
    ("/", "园区", "Park"),
    ("/tenants", "租户", "Tenants"),
    ("/balance", "平衡", "Balance"),
    ("/sheet", "抄表单", "Reading sheet"),
    ("/gateway", "网关", "Gateway"),
)
PERIODS = {
    "sharp": ("尖", "sharp"),
    "peak": ("峰", "peak"),
    "flat": ("平", "flat"),
    "valley": ("谷", "valley"),
    "deep_valley": ("深谷", "deep valley"),
    "unclassified": ("未分时", "unclassified"),
    "unclassified_holiday": ("节假日未定", "holiday unknown"),
}
ROLES = {
    "tenant": ("租户", "tenant"),
    "operator": ("物业", "operator"),
    "public": ("公共", "public"),
    "master": ("总表", "master"),
    "pv": ("光伏", "PV"),
    "storage": ("储能", "storage"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """How a page was asked for: language, path, and the query without the language."""

    language: str
    path: str
    query: tuple[tuple[str, str], ...] = ()

    @property
    def say(self) -> Say:
        return say_in(self.language)

    def get(self, name: str) -> str:
        return next((value for key, value in self.query if key == name), "")

    def url(self, **more: str) -> str:
        """This page again with other parameters."""
        query = {**dict(self.query), **more}
        return f"{self.path}?{urlencode(query)}" if query else self.path


def page(snapshot: Snapshot, asked: Asked, title: str, *content: Child, script: str = "") -> Html:
    """The whole document. `script`: a file of `static` beside the one that every page has."""
    say = asked.say
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{title} · {snapshot.title} · hubiao"),
        el("link", rel="icon", href="/static/icon.svg"),
        el("link", rel="stylesheet", href="/static/uPlot.min.css") if script else None,
        el("link", rel="stylesheet", href="/static/hubiao.css"),
        el("script", src="/static/uPlot.iife.min.js", defer=True) if script else None,
        el("script", src="/static/hubiao.js", defer=True),
        el("script", src=f"/static/{script}", defer=True) if script else None,
    )
    other, shown = ("en", "English") if asked.language == "zh" else ("zh", "中文")
    links = [
        el("a", say(zh, en), href=path, aria_current="page" if path == asked.path else None) for path, zh, en in PAGES
    ]
    top = el(
        "header",
        el("a", el("b", "户表"), " hubiao", href="/", class_="brand"),
        el("nav", links, aria_label=say("页面", "pages")),
        el("a", shown, href=asked.url(lang=other), class_="lang", lang=other, hreflang=other),
    )
    main = el("main", headline(snapshot, say), *content)
    foot = el(
        "footer",
        el("span", f"hubiao {snapshot.version} · {snapshot.park}/{snapshot.gateway}"),
        el("span", say("只读页面,示数以记录为准", "reads only; records are what counts")),
    )
    lang = "zh-CN" if asked.language == "zh" else "en"
    body = el("body", top, main, foot, data_page=asked.path, data_lang=asked.language, data_signs=snapshot.signs)
    return Html("<!doctype html>" + el("html", head, body, lang=lang))


def headline(snapshot: Snapshot, say: Say) -> Html:
    """The park's name, the time there, and what is wrong in one line."""
    return el(
        "div",
        el("h1", snapshot.title),
        el("p", local(snapshot, snapshot.now_s, "%Y-%m-%d %H:%M"), id="now", class_="time"),
        el("p", summary(snapshot, say), id="summary", class_="summary", data_bad=str(int(troubled(snapshot) > 0))),
        class_="headline",
        data_now=str(snapshot.now_s),
        id="headline",
    )


def troubled(snapshot: Snapshot) -> int:
    """How many meters need somebody."""
    counts = snapshot.counted()
    return sum(counts.get(state, 0) for state in BAD)


def summary(snapshot: Snapshot, say: Say) -> str:
    counts = snapshot.counted()
    parts = [say(f"{counts.get('ok', 0)} 块表正常", f"{counts.get('ok', 0)} meters ok")]
    parts += [f"{counts[state]} {say(*STATES[state])}" for state in (*BAD, "waiting", "manual") if counts.get(state)]
    if snapshot.waiting is not None:
        parts.append(say(f"{snapshot.waiting} 条待送", f"{snapshot.waiting} records waiting"))
        if not snapshot.connected:
            parts.append(say("上行断开", "uplink down"))
    return " · ".join(parts)


def local(snapshot: Snapshot, seconds: int | None, form: str = "%m-%d %H:%M") -> str:
    """Park-local time for people."""
    if seconds is None:
        return "–"
    return datetime.fromtimestamp(seconds, timezone(timedelta(seconds=snapshot.plan.utc_offset_s))).strftime(form)


def why_text(why: str, say: Say) -> str:
    """A reason in words: of a gap, of an event, or as it is."""
    if why in EVENTS:
        return say(EVENTS[why].zh, EVENTS[why].en)
    return say(*WHYS[why]) if why in WHYS else why


def bytes_text(count: int) -> str:
    """With the unit that leaves few digits."""
    for unit, size in (("GiB", GIB), ("MiB", MIB)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1024:.0f} KiB"


def age(seconds: int | None, say: Say) -> str:
    """One unit, as short as can be; `hubiao.js` writes the same."""
    if seconds is None:
        return "–"
    for size, zh, en in ((86_400, "天", "d"), (3600, "小时", "h"), (60, "分", "min")):
        if seconds >= size:
            return f"{seconds // size} {say(zh, en)}"
    return f"{max(0, seconds)} {say('秒', 's')}"


def number(value: Decimal | None, digits: int | None = None) -> str:
    """Plain notation; rounded to so many digits behind the point if they are given, for looking at only."""
    if value is None:
        return "–"
    if digits is not None:
        value = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{value:f}"


def grid(
    head: list[tuple[str, str]], rows: list[list[Child]], *, id_: str = "", foot: list[Child] | None = None
) -> Html:
    """A table: (class, title) a column. On a phone each row is a card, so cells know their titles."""
    titles = el("thead", el("tr", [el("th", title, class_=kind or None, scope="col") for kind, title in head]))
    body = el("tbody", [_row(head, row) for row in rows])
    sums = None if foot is None else el("tfoot", _row(head, foot))
    return el("div", el("table", titles, body, sums, id=id_ or None), class_="scroll")


def _row(head: list[tuple[str, str]], row: list[Child]) -> Html:
    return el(
        "tr",
        [el("td", cell, class_=kind or None, data_title=title) for (kind, title), cell in zip(head, row, strict=True)],
    )


def facts(pairs: list[tuple[str, Child]]) -> Html:
    """Names and values."""
    return el("dl", [el("div", el("dt", name), el("dd", value)) for name, value in pairs], class_="facts")


def meter_link(meter: str) -> Html:
    return el("a", meter, href=f"/meter/{quote(meter)}")
