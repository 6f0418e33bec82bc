"""How verbs speak: one JSON document, a table on a terminal, plain lines elsewhere; notices on stderr."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import click

LEAST_COLUMNS = 3


def notice(text: str) -> None:
    """Something beside the result."""
    click.echo(text, err=True)


def document(value: Any) -> None:
    """The one JSON document of `--json`."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=1))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Aligned columns on a terminal, tab-separated lines elsewhere. None shows as `-`.

    On a terminal the last column ends at its edge, with `…`; elsewhere and in `--json` it is whole.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            click.echo("\t".join(row))
        return
    import shutil  # with bz2 and lzma behind it; not for the agent

    widths = [max(map(_width, column)) for column in zip(head, *cells, strict=True)]
    room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * len(widths[:-1])
    click.echo(styled(_line(head, widths, room), bold=True))
    for row in cells:
        click.echo(_line(row, widths, room))


def _line(row: Sequence[str], widths: Sequence[int], room: int) -> str:
    *first, last = row
    return "".join(f"{_pad(cell, width)}  " for cell, width in zip(first, widths, strict=False)) + _cut(last, room)


def _cut(text: str, room: int) -> str:
    """Its beginning, if it is wider than there is room for; a few columns are always used."""
    if _width(text) <= max(room, LEAST_COLUMNS):
        return text
    while _width(text) > max(room, LEAST_COLUMNS) - 1:
        text = text[:-1]
    return f"{text}…"


def styled(text: str, **style: Any) -> str:
    """click.style, except where NO_COLOR is set or nobody sees colour."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, **style)


def _text(cell: Any) -> str:
    return "-" if cell is None or cell == "" else str(cell)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
