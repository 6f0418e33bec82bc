"""One settlement read of one meter: two looks of different shape, and when they may be believed together.

    first 0001FF00 ── second 00010000        equal: believed, the first is what is recorded
    before ≤ first ≤ second                  a register that ticks: asked a second time, believed between two others

A difference that the load could explain is not enough by itself: two bit errors can take a digit from the total and
give it to a tariff, which neither the checksum nor the tariff sum shows. Between two further looks a wrong value can
only be one that the register showed a moment before or after. Knows no slots and no history: that is validation.py's.
"""

from __future__ import annotations

from agent.reading import Missed, Observation
from agent.validation import Limits, grows_to
from contract.records import Why
from drivers.clock import Clock
from drivers.errors import DriverError, LineError, PortGone, Silent
from drivers.meter import Look, Meter

NOT_AGREED: Why = "noise"


async def ask(meter: Meter, limits: Limits, clock: Clock, attempts: int, *, before: int = 0) -> Observation | Missed:
    """Asks until two looks can be believed, at most `attempts` times; silence and refusals are not asked again.

    before: attempts that were made in vain already; the observation counts them too. A register that has grown between
    the two looks gets one more pair of looks, whatever `attempts` says. Raises PortGone; every other fault of the
    driver is told as Missed.
    """
    trouble: DriverError | None = None
    last: Look | None = None
    number = before
    while attempts > 0:
        number += 1
        try:
            first = await meter.look()
            second = await meter.look(second=True)
        except PortGone:
            raise
        except DriverError as error:
            trouble = error
            if isinstance(error, Silent) or not error.retry:
                break
            last, attempts = None, attempts - 1
            continue
        if believable(last, first, second, limits):
            return observation(meter.id, clock, first, second, number)
        trouble = LineError(f"two looks do not agree: {first.registers} then {second.registers}")
        if last is not None or not grows_to(first, second, limits):
            attempts -= 1
        last = second
    assert trouble is not None
    return Missed(meter.id, clock.wall_ms(), trouble.why, str(trouble))  # type: ignore[arg-type]


def believable(before: Look | None, first: Look, second: Look, limits: Limits) -> bool:
    """Whether `first` is what the meter showed: `second` says the same, or it stands in a row that only ticks."""
    if not grows_to(first, second, limits):
        return False
    return same(first, second) or (before is not None and grows_to(before, first, limits))


def same(first: Look, second: Look) -> bool:
    """Whether what both tell of is equal."""
    shared = first.registers.keys() & second.registers.keys()
    return all(first.registers[name] == second.registers[name] for name in shared)


def observation(meter: str, clock: Clock, first: Look, second: Look, attempt: int) -> Observation:
    """What is believed: `first`, at its own instant."""
    state, error_ms = clock.sync()
    answer = first.answers[0]
    return Observation(meter, answer.wall_ms, answer.boot_ms, state, error_ms, first, second, attempt)
