"""Small parts that the report's pages and the slips are put together of: numbers, tables, lists (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape


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
