"""What meters close by themselves each month: their settlement day, the register then, the month's maximum demand.

    closing of the park │ settlement moments │ register of the last one │ maximum demand, its time │ … of those before

Asked once after every closing, in idle time; the demands of up to twelve months when a meter is met for the first time,
since twelve of them are what a connection of its own is judged by. A settlement day that is none of the park's closings
becomes an event; where it is one, its register is a second witness of what we have for that slot (`Settled`). Demands
are events with the meter's own time, before any multiplier.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from pathlib import Path

from agent.polling.airtime import Work
from agent.polling.known import Known
from agent.polling.watch import item_of
from agent.reading import Finding, Happened, Missed, Observation, Settled
from contract.grid import DAY_S, Grid
from drivers.clock import Clock
from drivers.dlt645.meter import Dlt645Meter
from drivers.errors import DriverError, PortGone
from drivers.meter import Meter

logger = logging.getLogger(__name__)
MOMENTS = {"2007": ("04000B01", "04000B02", "04000B03"), "1997": ("C117",)}
# settlements back → register; maximum demand and its time, in one item or in two
REGISTER = {"2007": "000100{:02X}", "1997": "9{}10"}
DEMAND = {"2007": ("010100{:02X}",), "1997": ("A{}10", "B{}10")}
MONTHS_1997 = {1: "4", 2: "8"}  # the second digit of an identifier
MOST = {"2007": 12, "1997": 2}
UNUSED = "9999"
LATE_S = 3600  # after a closing: the meter's clock may be slow, and the slot's value comes late
ASK = "closing"  # known item: the closing that was asked about last


class Monthly:
    """A chore of one line (idle.py)."""

    work: Work = "monthly"

    def __init__(
        self,
        line: str,
        meters: Iterable[Meter],
        *,
        directory: Path,
        grid: Grid,
        clock: Clock,
        put: Callable[[Finding], Awaitable[None]],
    ) -> None:
        self._meters = [meter for meter in meters if isinstance(meter, Dlt645Meter)]
        self._known = Known(directory / f"monthly-{line}.json")
        self._grid, self._clock, self._put = grid, clock, put
        self._answering: set[str] = set()
        self._todo: dict[str, list[int]] = {}  # settlements back still to ask of, 0 for the moments

    def saw(self, finding: Finding) -> None:
        """Only meters that answer are asked for more."""
        if isinstance(finding, Observation):
            self._answering.add(finding.meter)
        elif isinstance(finding, Missed):
            self._answering.discard(finding.meter)

    async def step(self) -> bool:
        if self._clock.sync()[0] == "none":
            return False
        now_ms = self._clock.wall_ms()
        closing_s, _ = self._grid.billing_period_of(now_ms // 1000 - LATE_S)
        for meter in self._meters:
            if meter.id in self._answering and self._is_due(meter, closing_s):
                todo = self._todo[meter.id]
                await self._ask(meter, todo[0], closing_s, now_ms)
                del todo[:1]  # only now: a step that is broken off is done again
                if not todo:
                    del self._todo[meter.id]
                    self._known.change(meter.id, ASK, str(closing_s), now_ms)
                return True
        return False

    def _is_due(self, meter: Dlt645Meter, closing_s: int) -> bool:
        if meter.id not in self._todo:
            before = self._known.of(meter.id, ASK)
            if before == str(closing_s):
                return False
            self._todo[meter.id] = list(range(2 if before else MOST[meter.edition] + 1))
        return True

    async def _ask(self, meter: Dlt645Meter, back: int, closing_s: int, now_ms: int) -> None:
        try:
            if back == 0:
                await self._moments(meter, closing_s, now_ms)
            elif not await self._demand(meter, back, now_ms):
                self._todo[meter.id].clear()  # what it does not remember of one month, it does not of those before
        except PortGone:
            raise
        except DriverError as error:
            logger.debug("month: not told: %s meter=%s", error, meter.id)

    async def _moments(self, meter: Dlt645Meter, closing_s: int, now_ms: int) -> None:
        """The meter's settlement moments against the park's closings; the register at the one that fits."""
        found = [await item_of(meter, di) for di in MOMENTS[meter.edition]]
        moments = [str(values[0].value) for values in found if values and values[0].value not in (None, UNUSED)]
        if not moments:
            return
        closings = {self._day_hour(closing.day, closing.second) for closing in self._grid.closings}
        agree = not closings.isdisjoint(moments)
        before, since_ms = self._known.change(meter.id, "moment", "agrees" if agree else "differs", now_ms)
        if not agree and before != "differs":
            told: dict[str, str | int] = {"meter": " ".join(moments), "closings": " ".join(sorted(closings))}
            await self._put(Happened(meter.id, "settlement_mismatch", since_ms, now_ms, told))
        if len(moments) == len(closings) == 1 and agree:  # which of several was last, a meter does not say
            for value in await item_of(meter, _of_month(REGISTER[meter.edition], meter, 1)):
                if isinstance(value.value, Decimal):
                    await self._put(Settled(meter.id, closing_s * 1000, value.value))

    async def _demand(self, meter: Dlt645Meter, back: int, now_ms: int) -> bool:
        """The maximum demand of a closed month as an event; False where the meter has none."""
        values = [v for di in DEMAND[meter.edition] for v in await item_of(meter, _of_month(di, meter, back))]
        power = next((value.value for value in values if isinstance(value.value, Decimal)), None)
        at = next((value.value for value in values if isinstance(value.value, str)), None)
        if power is None or at is None or not at.strip("0"):
            return False
        kw = f"{power:f}"
        if self._known.change(meter.id, f"demand {at}", kw, now_ms)[0] is None:
            told: dict[str, str | int] = {"kw": kw, "meter_clock": at, "settlements_back": back}
            await self._put(Happened(meter.id, "max_demand", now_ms, now_ms, told))
        return True

    def _day_hour(self, day: int, second: int) -> str:
        """A closing as DDhh; the end of a day is the next one's beginning, that of the month the first."""
        if second == DAY_S:
            day, second = (1 if day == 31 else day + 1), 0
        return f"{day:02d}{second // 3600:02d}"


def _of_month(di: str, meter: Dlt645Meter, back: int) -> str:
    return di.format(back if meter.edition == "2007" else MONTHS_1997[back])
