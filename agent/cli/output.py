"""How verbs speak: one JSON document, a table on a terminal, plain lines elsewhere; notices on stderr."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import click


def notice(text: str) -> None:
    """Something beside the result."""
    click.echo(text, err=True)


def document(value: Any) -> None:
    """The one JSON document of `--json`."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=1))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Aligned columns on a terminal, tab-separated lines elsewhere. None shows as `-`."""
    cells = [[_text(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            click.echo("\t".join(row))
        return
    widths = [max(map(_width, column)) for column in zip(head, *cells, strict=True)]
    click.echo(styled("  ".join(map(_pad, head, widths)), bold=True))
    for row in cells:
        click.echo("  ".join(map(_pad, row, widths)).rstrip())


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
