"""Durations as people type them: 90s, 10min, 2h, 1d, or plain seconds."""

from __future__ import annotations

import re
from typing import Any

import click

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType[float]):
    """Converts to seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|)", str(value).strip())
        if match is None:
            self.fail(f"{value!r}: 90s, 10min, 2h", param, ctx)
        return float(match[1]) * UNITS[match[2]]


DURATION = Duration()
