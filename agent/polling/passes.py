"""A sweep in three passes, for a line that cannot look and confirm at every meter inside the slot's window.

    totals ───│ slot − 9 s ── blocks ── slot + 9 s │─── totals (blocks)        one value a meter, from the middle pass

The value that counts is the block read inside the window. It is believed if the total read behind it says the same. A
register that has ticked meanwhile must stand in a row with both totals, and a further block must show that total and
tariffs grew alike: two wrong bits that take a digit from one and give it to the other do not get past that, and what
does is a value that the register showed between the two totals, under a minute apart. Whoever is not believed, or was
not heard, is left to the poller, which asks as it does everywhere else (`asking.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from agent.polling.asking import believable, observation, same
from agent.reading import Observation
from agent.validation import Limits
from drivers.clock import Clock
from drivers.errors import DriverError, PortGone, Silent
from drivers.meter import Look, Meter

MARGIN_S = 1.0  # between the totals before and the window: a few repetitions
ATTEMPTS = 3  # of a look that was garbled, and of a block that does not show the same growth
MOST_RUNNING = 2  # tariffs in force within a minute: one, or those before and after a change


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
        if not isinstance(second, Look) or not believable(self.before.get(meter.id), first, second, limits):
            return None
        if not same(first, second) and not await self._grows_alike(meter, first):
            return None
        return observation(meter.id, self.clock, first, second, self.attempts[meter.id])

    async def _grows_alike(self, meter: Meter, first: Look) -> bool:
        """Asks for the block again, more than once: each register is cut to whole digits at moments of its own."""
        for _ in range(ATTEMPTS):
            later = await self._look(meter.look, ATTEMPTS)
            if not isinstance(later, Look):
                return False
            if grown_alike(first, later):
                return True
        return False

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


def grown_alike(first: Look, later: Look) -> bool:
    """Whether each total grew by exactly what its tariffs did, few of which ran. Without tariffs nothing shows that."""
    if first.registers.keys() != later.registers.keys():
        return False
    grown = {name: value - first.registers[name] for name, value in later.registers.items()}
    for total in (name for name in grown if "_t" not in name):
        parts = [growth for name, growth in grown.items() if name.startswith(f"{total}_t")]
        running = sum(part != 0 for part in parts)
        if not parts or min(parts) < 0 or running > MOST_RUNNING or sum(parts) != grown[total]:
            return False
    return True
