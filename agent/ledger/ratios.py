"""Multipliers that a new configuration changes, for events `ratio_changed` (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from contract.records import Config, parse_slot


class RatioChange(NamedTuple):
    """at_s: from when on, UTC; None where the configuration says so of all times."""

    point: str
    at_s: int | None
    details: dict[str, Any]


def ratio_changes(config: Config, former: Config | None) -> Iterator[RatioChange]:
    """What `config` says otherwise than `former` of the same meter at the same point. A new meter changes no ratio."""
    old = {} if former is None else _multipliers(former)
    for (point, meter), stretches in _multipliers(config).items():
        known = old.get((point, meter))
        if not known:
            continue
        before = known[0][1]
        for stretch in stretches:
            since, multiplier = stretch
            if stretch not in known and multiplier != before:
                at_s = None if since is None else parse_slot(since)
                yield RatioChange(point, at_s, {"meter": meter, "before": before, "after": multiplier})
            before = multiplier


def _multipliers(config: Config) -> dict[tuple[str, str], list[tuple[str | None, str]]]:
    """Point and meter → from when (record form, None: the beginning) and multiplier, in order of time."""
    found: dict[tuple[str, str], list[tuple[str | None, str]]] = {}
    for point in config.points:
        for entry in point["meters"]:
            found.setdefault((point["id"], entry["meter"]), []).append((entry["from"], entry["multiplier"]))
    return found
