"""Live values by server-sent events: what changed since the last message, in the reader's language, nothing else.

    data: {"now":…,"offset":…,"summary":"…","bad":0,"meters":{id:[state,text,value,kW,quality,seen,path]},"lines":{…}}

One message a second at most, and a short one every second with the time alone; meters only when a commit changed them.
A page brings the signs of what it was made of, in the address and after a break as Last-Event-ID: as long as nothing
has changed since, nothing is told twice, which is 0.35 MB with a thousand meters.
"""

from __future__ import annotations

from typing import Any

from agent.web.frame import summary, troubled
from agent.web.html import say_in
from agent.web.park import Sparks, line_cells, meter_cells
from agent.web.snapshot import Snapshot

TICK_S = 1.0
MOST_STREAMS = 16  # open pages; further ones reload by hand
MOST_UNSENT = 4  # messages for a reader that does not take them


class Stream:
    """What one open page has been told. `signs`: of the snapshot that it shows, "" where that is not known."""

    def __init__(self, language: str, sparks: Sparks, signs: str = "") -> None:
        self.signs = signs
        self._say = say_in(language)
        self._sparks = sparks
        self._meters: dict[str, list[Any]] = {}
        self._lines: dict[str, list[Any]] = {}

    def is_stale(self, signs: str) -> bool:
        """Whether there is more to tell than the time."""
        return self.signs != signs

    def message(self, snapshot: Snapshot) -> dict[str, Any]:
        """The next message; the first one tells everything."""
        say = self._say
        self.signs = snapshot.signs
        meters: dict[str, list[Any]] = {}
        for meter in snapshot.meters.values():
            cells = [meter.state, *meter_cells(meter, say), meter.seen_s, self._sparks.of(meter, snapshot)]
            if self._meters.get(meter.id) != cells:
                self._meters[meter.id] = meters[meter.id] = cells
        lines: dict[str, list[Any]] = {}
        for line in snapshot.lines.values():
            told = [int(line.down_since_s is not None), *line_cells(line, snapshot, say), round(line.airtime, 4)]
            if self._lines.get(line.id) != told:
                self._lines[line.id] = lines[line.id] = told
        return {
            **self.time(snapshot.now_s, snapshot.plan.utc_offset_s),
            "summary": summary(snapshot, say),
            "bad": int(troubled(snapshot) > 0),
            "meters": meters,
            "lines": lines,
            "waiting": snapshot.waiting,
            "size": snapshot.size,
            "delivered": snapshot.delivered,
        }

    @staticmethod
    def time(now_s: int, offset_s: int) -> dict[str, Any]:
        """When nothing else changed: the page counts its ages on from that."""
        return {"now": now_s, "offset": offset_s}
