"""In which order a line's meters are read where not all fit into the slot's window (pure).

others │ slot − 9 s ── this sweep's group ── slot + 9 s │ others        the next sweep has the next group
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def centred(asked: Sequence[T], bills: Callable[[T], bool], fit: int, turn: int) -> list[T]:
    """Puts `fit` of them into the middle: what bills first, each in its turn. turn: counts the sweeps, from 0."""
    if fit >= len(asked):
        return list(asked)
    billing = [one for one in asked if bills(one)]
    rest = [one for one in asked if not bills(one)]
    queue = _rotated(billing, turn * fit) + _rotated(rest, turn * max(0, fit - len(billing)))
    group, others = queue[:fit], queue[fit:]
    half = len(others) // 2
    return others[:half] + group + others[half:]


def _rotated(items: list[T], by: int) -> list[T]:
    at = by % len(items) if items else 0
    return items[at:] + items[:at]
