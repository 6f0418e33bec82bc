"""Small parts that the report's pages and the slips are put together of: words, numbers, tables, charts (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from audit import report_words as words

Pair = tuple[str, str]


class Page:
    """The report's document and the language it is shown in."""

    def __init__(self, made: Mapping[str, Any], language: str) -> None:
        self.made, self.which = made, 0 if language == "zh" else 1

    def t(self, zh: str, en: str) -> str:
        return (zh, en)[self.which]

    @property
    def yuan(self) -> str:
        return self.t("元", "yuan")

    def join(self, parts: Iterable[str]) -> str:
        return self.t("，", ", ").join(parts)

    def span(self, row: Mapping[str, Any]) -> str:
        """Days of a document or row; the last one is not in it."""
        if row["from"] is None:
            return self.t("日期未知", "days not known")
        return self.t(f"{row['from']} 至 {row['to']}（不含）", f"{row['from']} to {row['to']} (exclusive)")

    def w(self, table: Mapping[str, Pair], code: str) -> str:
        return table[code][self.which] if code in table else code

    def chip(self, colour: str) -> str:
        return f'<span class="chip {colour}">{escape(self.w(words.COLOURS, colour))}</span>'

    def section(self, title: str, body: str) -> str:
        return f"<section><h2>{escape(title)}</h2>{body}</section>"


def chart(height: int, drawn: str) -> str:
    """A drawing 700 wide that scrolls by itself where the screen is narrower than its text can bear."""
    return f'<div class="wide"><svg class="chart" viewBox="0 0 700 {height}" role="img">{drawn}</svg></div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str) -> str:
    """Cells are HTML already."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def listed(items: Sequence[str]) -> str:
    """Items are HTML already."""
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def money(value: str | None) -> str:
    """With thousands apart; a dash for what is not known."""
    if value is None or value == "":
        return "—" if value is None else ""
    whole, dot, part = value.lstrip("-").partition(".")
    if not whole.isdigit():
        return escape(value)
    return ("−" if value.startswith("-") else "") + f"{int(whole):,}" + dot + part


def percent(value: str | None) -> str | None:
    return None if value is None else f"{Decimal(value) * 100:.2f} %"


def waterfall(groups: Sequence[Mapping[str, str]], total: str) -> str:
    """Groups of the bill one on top of the other, from zero to the total, which stands last under its name."""
    amounts = [Decimal(group["yuan"]) for group in groups]
    at, low, high = Decimal(0), Decimal(0), Decimal(1)
    spans = []
    for amount in amounts:
        spans.append((at, at + amount))
        at += amount
        low, high = min(low, at), max(high, at)
    scale = Decimal(430) / (high - low)
    bars = []
    whole = {"name": total, "yuan": str(at)}
    for n, (group, (start, end)) in enumerate(zip([*groups, whole], [*spans, (Decimal(0), at)], strict=True)):
        left = 150 + (min(start, end) - low) * scale
        width = max(Decimal(1), abs(end - start) * scale)
        kind = "whole" if n == len(groups) else "minus" if end < start else "plus"
        y = 8 + n * 24
        bars.append(
            f'<text x="144" y="{y + 13}" text-anchor="end">{escape(group["name"][:12])}</text>'
            f'<rect class="{kind}" x="{left:.1f}" y="{y}" width="{width:.1f}" height="16"/>'
            f'<text x="{left + width + 5:.1f}" y="{y + 13}">{money(group["yuan"])}</text>'
        )
    return chart(40 + 24 * len(groups), "".join(bars))


def profile(powers_kw: Sequence[str | None], title: str) -> str:
    """96 quarter hours as a line."""
    powers = {n: Decimal(power) for n, power in enumerate(powers_kw) if power is not None}
    high = max([*powers.values(), Decimal("0.01")])
    runs: list[list[str]] = []
    for n, power in powers.items():
        if n - 1 not in powers:
            runs.append([])
        runs[-1].append(f"{40 + n * 6.6:.1f},{Decimal(110) - power / high * 95:.1f}")
    lines = "".join(f'<polyline points="{" ".join(run)}"/>' for run in runs)
    hours = "".join(f'<text x="{40 + h * 26.4:.0f}" y="126" text-anchor="middle">{h}</text>' for h in range(0, 25, 4))
    scale = f'<text x="36" y="20" text-anchor="end">{high:.1f}</text><text x="36" y="112" text-anchor="end">0</text>'
    return f"<figure>{chart(130, lines + scale + hours)}<figcaption>{escape(title)}</figcaption></figure>"


def bars(rows: Sequence[tuple[str, str, str]]) -> str:
    """Two amounts a period beside each other, from zero."""
    high = max([Decimal(1), *(Decimal(value) for _, *values in rows for value in values)])
    parts = []
    for n, (name, first, second) in enumerate(rows):
        y = 8 + n * 34
        parts.append(f'<text x="84" y="{y + 19}" text-anchor="end">{escape(name)}</text>')
        for value, kind, down in ((first, "first", 0), (second, "second", 14)):
            width = Decimal(value) / high * 480
            parts.append(
                f'<rect class="{kind}" x="92" y="{y + down}" width="{max(width, Decimal("0.5")):.1f}" height="12"/>'
                f'<text x="{96 + width:.1f}" y="{y + down + 11}">{money(value)}</text>'
            )
    return chart(14 + 34 * len(rows), "".join(parts))
