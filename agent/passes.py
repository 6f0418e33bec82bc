"""A sweep in three passes, for a line that cannot look and confirm at every meter inside the slot's window.

    totals ───────│ slot − 9 s ── blocks ── slot + 9 s │─── totals        one value a meter, from the middle pass

The value that counts is the block read inside the window. It is believed if the total read behind it says the same, or
if all three stand in a row that only ticks and the block's own tariffs add up: then a wrong value could only be one
that the register showed between the two totals, under a minute apart. Whoever is not believed, or was not heard, is
left to the poller, which asks as it does everywhere else (`asking.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from agent.asking import believable, observation
from agent.reading import Observation
from agent.validation import Limits
from drivers.clock import Clock
from drivers.errors import DriverError, PortGone, Silent
from drivers.meter import Look, Meter

MARGIN_S = 1.0  # between the totals before and the window: a few repetitions
ATTEMPTS = 3  # of a look that was garbled


@dataclass(slots=True)
class Passes:
    """One sweep's. before, looks: what the meters of this line said, by id. answered_s: time of what was answered."""

    clock: Clock
    sign: Callable[[], None]  # called before each look: the line is alive
    before: dict[str, Look] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    answered_s: float = 0.0

    async def totals_before(self, meter: Meter) -> None:
        """A total for later comparison. What is missing is missed by nobody: the block is asked all the same."""
        look = await self._look(lambda: meter.look(second=True), 1)
        if isinstance(look, Look):
            self.before[meter.id] = look

    async def blocks(self, meters: Iterable[Meter]) -> None:
        """The looks that count. Who was garbled comes again, behind the others; who was silent does not."""
        turn = sorted(meters, key=lambda meter: meter.id not in self.before)
        for attempt in range(1, ATTEMPTS + 1):
            garbled = []
            for meter in turn:
                self.attempts[meter.id] = attempt
                look = await self._look(meter.look, 1)
                if isinstance(look, Look):
                    self.looks[meter.id] = look
                elif look.retry and not isinstance(look, Silent):
                    garbled.append(meter)
            turn = garbled

    async def confirmed(self, meter: Meter, limits: Limits) -> Observation | None:
        """The meter's value inside the window, None if it cannot be believed."""
        first = self.looks.get(meter.id)
        if first is None:
            return None
        second = await self._look(lambda: meter.look(second=True), ATTEMPTS)
        before = self.before.get(meter.id) if "tariff_sum" in first.checks else None
        if not isinstance(second, Look) or not believable(before, first, second, limits):
            return None
        return observation(meter.id, self.clock, first, second, self.attempts[meter.id])

    async def _look(self, look: Callable[[], Awaitable[Look]], attempts: int) -> Look | DriverError:
        """Raises PortGone only."""
        for left in reversed(range(attempts)):
            self.sign()
            began_ms = self.clock.boot_ms()
            try:
                seen = await look()
            except PortGone:
                raise
            except DriverError as error:
                if not left or isinstance(error, Silent) or not error.retry:
                    return error
            else:
                self.answered_s += (self.clock.boot_ms() - began_ms) / 1000
                return seen
        raise AssertionError("at least one attempt")
