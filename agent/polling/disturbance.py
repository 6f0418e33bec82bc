"""What a line's statistics tell of its bus: another master, much noise, requests that the gate refused (pure).

Looked at after each sweep. Another master and noise are judged over stretches of an hour and said once a day as long as
they last; a refused request is said once for each frame. A good line says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from agent.reading import Happened
from drivers.line import LineStatistics

STRETCH_MS = 3_600_000
AGAIN_MS = 86_400_000  # one event a day of one code: it is no news after that
MASTER_LEAST = 3  # requests that were not ours; one could be an echo that came late
NOISE_LEAST = 10  # garbled exchanges, and
NOISE_PART = 0.1  # of all: more than a meter with a loose clamp among many makes
MOST_FRAMES = 20  # refused requests told apart


@dataclass(slots=True)
class Disturbances:
    """Of one line. `look` takes the wall clock and the boot clock in ms."""

    line: str
    statistics: LineStatistics
    _since_ms: tuple[int, int] | None = None  # wall and boot clock when the stretch began
    _before: LineStatistics = field(default_factory=LineStatistics)  # as they were then
    _said_ms: dict[str, int] = field(default_factory=dict)  # code → boot clock
    _frames: set[str] = field(default_factory=set)
    _forbidden: int = 0

    def look(self, wall_ms: int, boot_ms: int) -> Iterator[Happened]:
        """What there is to say now."""
        yield from self._refused(wall_ms)
        if self._since_ms is None:
            self._begin(wall_ms, boot_ms)
        assert self._since_ms is not None
        since_ms, began_ms = self._since_ms
        now, before = self.statistics, self._before
        requests = now.noticed.requests - before.noticed.requests
        if requests >= MASTER_LEAST and self._is_news("other_master", boot_ms):
            yield Happened(self.line, "other_master", since_ms, wall_ms, {"requests": requests}, scope="line")
        if boot_ms < began_ms + STRETCH_MS:
            return
        garbled, exchanges = now.garbled - before.garbled, now.exchanges - before.exchanges
        if garbled >= max(NOISE_LEAST, NOISE_PART * exchanges) and self._is_news("line_noise", boot_ms):
            details: dict[str, str | int] = {"exchanges": exchanges, "garbled": garbled}
            for name in ("parity", "checksum", "noise", "foreign"):
                details[name] = getattr(now.noticed, name) - getattr(before.noticed, name)
            yield Happened(self.line, "line_noise", since_ms, wall_ms, details, scope="line")
        self._begin(wall_ms, boot_ms)

    def _refused(self, wall_ms: int) -> Iterator[Happened]:
        count, self._forbidden = self.statistics.forbidden - self._forbidden, self.statistics.forbidden
        frame = self.statistics.last_forbidden
        if count and frame not in self._frames and len(self._frames) < MOST_FRAMES:
            self._frames.add(frame)
            details: dict[str, str | int] = {"frame": frame, "count": count}
            yield Happened(self.line, "refused_write", wall_ms, wall_ms, details, scope="line")

    def _begin(self, wall_ms: int, boot_ms: int) -> None:
        self._since_ms = (wall_ms, boot_ms)
        self._before = replace(self.statistics, noticed=replace(self.statistics.noticed))

    def _is_news(self, code: str, boot_ms: int) -> bool:
        said_ms = self._said_ms.get(code)
        if said_ms is not None and boot_ms < said_ms + AGAIN_MS:
            return False
        self._said_ms[code] = boot_ms
        return True
