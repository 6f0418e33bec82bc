"""Lines drawn as SVG on the server, so that they are there without a script: sparklines and a day's chart (pure).

Coordinates are whole numbers; y grows downwards. Colours come from the style sheet's classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from agent.web.html import Html, Say, el
from agent.web.snapshot import MeterNow

SPARK_WIDTH, SPARK_HEIGHT = 96, 40
SPARK_POINTS = 48  # a day of half hours: two pixels each
CHART_WIDTH, CHART_HEIGHT = 720, 220
LEFT, BOTTOM = 52, 22  # room for the axes' numbers

Curve = Sequence[float | None]  # None: unknown, the line is broken there


def spark_path(meter: MeterNow, now_slot_s: int, interval_s: int) -> str:
    """The power of the last day as the `d` of a path; "" where nothing is known."""
    step_s = max(interval_s, 86_400 // SPARK_POINTS // interval_s * interval_s)
    last_s = now_slot_s - (now_slot_s % step_s)
    get, name = meter.values.get, meter.register
    shown: list[Decimal | None] = []
    for slot_s in range(last_s - 86_400, last_s + 1, step_s):
        value = get(slot_s)
        shown.append(None if value is None else value.registers.get(name))
    # what the power is in proportion to: a thousand are drawn at once, and only shapes show
    steps = pairwise(shown)
    grown = [None if first is None or last is None or last < first else float(last - first) for first, last in steps]
    return path(grown, SPARK_WIDTH, SPARK_HEIGHT)


def spark(d: str) -> Html:
    """The sparkline of a path."""
    box = f"0 0 {SPARK_WIDTH} {SPARK_HEIGHT}"
    return el("svg", el("path", d=d), viewBox=box, class_="spark", aria_hidden="true", preserveAspectRatio="none")


def path(curve: Curve, width: int, height: int, top: float | None = None) -> str:
    """The curve over the whole width, from zero at the bottom to its highest value (or `top`) at the top."""
    known = [value for value in curve if value is not None]
    highest = max(known, default=0.0) if top is None else top
    if not known:
        return ""
    across = width / max(1, len(curve) - 1)
    parts = []
    pen = "M"
    for n, value in enumerate(curve):
        if value is None:
            pen = "M"
            continue
        y = height - 1 if highest <= 0 else round(1 + (height - 2) * (1 - value / highest))
        parts.append(f"{pen}{round(n * across)} {y}")
        pen = "L"
    if len(known) == 1:
        parts.append("h1")  # a single point is no line
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class DayChart:
    """A local day of steps: the meter's own power and what its neighbours' shape would make of its energy."""

    labels: Sequence[str]  # of every step's start
    own: Curve
    like: Curve


def day_chart(chart: DayChart, say: Say) -> Html:
    """Both curves with axes: kW over the day."""
    values = [value for curve in (chart.own, chart.like) for value in curve if value is not None]
    top = nice_top(max(values, default=0.0))
    inner, floor = CHART_WIDTH - LEFT, CHART_HEIGHT - BOTTOM
    parts = []
    for n in range(5):
        y = round(1 + (floor - 2) * n / 4, 1)
        parts.append(el("line", x1=str(LEFT), x2=str(CHART_WIDTH), y1=str(y), y2=str(y), class_="grid"))
        number = f"{Decimal(str(top)) * (4 - n) / 4:.4g}"
        parts.append(el("text", number, x=str(LEFT - 6), y=str(min(y + 8, floor)), text_anchor="end"))
    for hour in range(0, 25, 6):
        x = LEFT + inner * hour // 24
        anchor = "start" if hour == 0 else "end" if hour == 24 else "middle"
        parts.append(el("text", f"{hour:02d}:00", x=str(x), y=str(CHART_HEIGHT - 5), text_anchor=anchor))
    for curve, name in ((chart.like, "like"), (chart.own, "own")):
        drawn = el("path", d=path(curve, inner, floor, top), class_=name)
        parts.append(el("g", drawn, transform=f"translate({LEFT} 0)"))
    title = el(
        "title", say("当日功率 kW,本表与同线路各表的形状", "power over the day, this meter and its neighbours' shape")
    )
    return el("svg", title, parts, viewBox=f"0 0 {CHART_WIDTH} {CHART_HEIGHT}", class_="chart", role="img")


def nice_top(highest: float) -> float:
    """The next round number at or above a value: 1, 2, 4, 5 or 8 times a power of ten."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1.0, 2.0, 4.0, 5.0, 8.0, 10.0, 20.0) if step * power >= highest)
