"""What one meter was found to need: how long it takes to answer, how much preamble, how much silence before a request.

    wait        2.5 × its slowest answer of late, between floor and ceiling; after a silence once the whole ceiling;
                never heard yet, half a second or more as its neighbours need
    preamble    FE 4 → 2 → 1 → 0          a step at a time, each tried on a question of its own; a step that
    quiet       20 → 10 → 5 → 2 → 0 ms    silences the meter is taken back for good, and asked again at once as before

A `HabitualBus` stands between a meter and its line. It changes no byte between 68 and 16 and never waits longer than
the meter's own driver asked for. Modbus has no preamble, and its 3.5 characters are never shortened.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from drivers.errors import LineError, Silent
from drivers.exchange import Answer, Exchange
from drivers.late import LATE_FACTOR

if TYPE_CHECKING:
    from drivers.line import LineStatistics
    from drivers.meter import Bus

FLOOR_S = 0.1  # the shortest wait; meters that take 30 ms take 80 when they are busy
FACTOR = 2.5  # of the slowest answer
FORGETS = 0.99  # a slow answer counts half after 70 others
STRANGER_FLOOR_S = 0.5  # for the first question to a meter: the longest that DL/T 645 allows
STRANGER_WHOLE = 11  # questions without an answer, after which a meter that was never heard gets its whole time
WHOLE_EVERY = 24  # of the questions to a silent meter: so many it gets the whole ceiling once
WAKES = (4, 2, 1, 0)
QUIETS_S = (0.02, 0.01, 0.005, 0.002, 0.0)
SETTLED = 3  # answers in a row at one step before the next is tried
LEARN_AGAIN = 50_000  # questions after which a step that failed once is tried again: most of a year at 15 min


@dataclass(slots=True)
class Steps:
    """A quantity that is lowered a step at a time as long as the meter answers."""

    values: tuple[float, ...]
    at: int = 0  # the step that is proven
    lowest: int = 0  # the last step that may be tried
    good: int = 0  # answers in a row at the proven step
    asked: int = 0

    def __post_init__(self) -> None:
        self.lowest = len(self.values) - 1

    def trial(self) -> bool:
        """Whether the next question should try the step below."""
        self.asked += 1
        if self.asked >= LEARN_AGAIN:
            self.asked, self.lowest = 0, len(self.values) - 1
        return self.good >= SETTLED and self.at < self.lowest

    def down(self) -> None:
        self.at, self.good = self.at + 1, 0

    def up(self, *, for_good: bool) -> None:
        """The step below silenced the meter, or (not for_good) something else came in between."""
        self.at, self.good = self.at - 1, 0
        if for_good:
            self.lowest = self.at

    def back(self) -> None:
        """Silence at the proven step: perhaps it is too low now and then. Not tried again soon."""
        self.at = self.lowest = max(0, self.at - 1)
        self.good = 0


@dataclass(slots=True)
class Habits:
    """One meter's. Pure: told what was asked and what came of it."""

    wake: Steps = field(default_factory=lambda: Steps(()))
    quiet: Steps = field(default_factory=lambda: Steps(()))
    slowest_s: float | None = None  # None: it never answered
    misses: int = 0

    def wait_s(self, ceiling_s: float, line_slowest_s: float) -> float:
        """How long to wait for the answer's first byte. line_slowest_s: what meters on this line take, 0 unknown."""
        known_s = self.slowest_s if self.slowest_s is not None else line_slowest_s
        is_stranger = self.slowest_s is None
        whole_at = STRANGER_WHOLE if is_stranger else 1
        if not known_s or self.misses == whole_at or self.misses % WHOLE_EVERY == WHOLE_EVERY - 1:
            return ceiling_s
        floor_s = STRANGER_FLOOR_S if is_stranger and not self.misses else FLOOR_S
        return min(ceiling_s, max(floor_s, FACTOR * known_s))

    def answered(self, latency_s: float) -> None:
        self.misses = 0
        self.slowest_s = max(latency_s, (self.slowest_s or 0.0) * FORGETS)
        self.wake.good += 1
        self.quiet.good += 1

    def silent(self) -> None:
        self.misses += 1


class HabitualBus:
    """A `drivers.meter.Bus` for one meter, which learns its habits."""

    def __init__(self, bus: Bus, line: LineStatistics) -> None:
        self.habits = Habits()
        self._bus = bus
        self._line = line
        self._is_set_up = False

    async def exchange(self, exchange: Exchange) -> Answer:
        """As the line's. A trial that fails is no fault: the question is asked again as the meter is known to hear."""
        if not self._is_set_up:
            self._set_up(exchange)
        for steps in (self.habits.wake, self.habits.quiet):
            if not self.habits.misses and steps.trial():
                steps.down()
                try:
                    return await self._ask(exchange)
                except Silent:
                    steps.up(for_good=True)
                    break
                except LineError:  # something was heard: says nothing of the step
                    steps.up(for_good=False)
                    raise
        try:
            return await self._ask(exchange)
        except Silent:
            self.habits.silent()
            if self.habits.misses == 1:
                self.habits.wake.back()
                self.habits.quiet.back()
            raise

    def _set_up(self, exchange: Exchange) -> None:
        """The driver's own manners are what learning begins with."""
        self._is_set_up = True
        if exchange.protocol.startswith("dlt645"):
            wake = len(exchange.preamble)
            self.habits.wake = Steps((wake, *(step for step in WAKES if step < wake)))
            quiet_s = exchange.quiet_before_s
            self.habits.quiet = Steps((quiet_s, *(step for step in QUIETS_S if step < quiet_s)))

    async def _ask(self, exchange: Exchange) -> Answer:
        habits = self.habits
        ceiling_s = exchange.reply_timeout_s
        shaped = replace(
            exchange,
            reply_timeout_s=habits.wait_s(ceiling_s, self._line.slowest_s),
            late_s=exchange.late_s or LATE_FACTOR * ceiling_s,
        )
        if habits.wake.values:
            shaped = replace(
                shaped,
                preamble=exchange.preamble[: int(habits.wake.values[habits.wake.at])],
                quiet_before_s=habits.quiet.values[habits.quiet.at],
            )
        answer = await self._bus.exchange(shaped)
        habits.answered(answer.latency_s)
        return answer
