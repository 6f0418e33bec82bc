"""What meters close by themselves each month, against simulated meters whose demands a test lays down."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from test_meter_watch import METER, NOON, Play

from agent.polling.monthly import LATE_S, Monthly
from agent.reading import Finding, Happened, Missed, Settled
from contract.grid import Closing, Grid
from drivers.dlt645.formats import Bcd, Moment
from drivers.dlt645.meter import Dlt645Meter
from drivers.exchange import Answer, Exchange

JULY_1 = 1_782_835_200_000  # 2026-07-01 00:00 in the park, five and a half days before NOON
DAY_MS = 86_400_000


class Months(Play):
    """The chore of one meter; demands: settlements back → kW and the meter's time of it, None: what the park drew."""

    def __init__(
        self, data: Path, demands: dict[int, tuple[str, str]] | None, *, closings: tuple[str, ...] = ("01 00:00",)
    ):
        self.grid = Grid(900, 28_800, tuple(map(Closing.parse, closings)))
        super().__init__(data)
        memory, item = self.wire.meter.memory, self.wire.meter.memory.item_2007

        def with_demands(di: str, at_ms: int) -> bytes | None:
            if demands is None or not di.startswith("0101"):
                return item(di, at_ms)
            found = demands.get(int(di[6:], 16))
            return None if found is None else Bcd(3, 4).encode(found[0]) + Moment("YYMMDDhhmm").encode(found[1])

        memory.item_2007 = with_demands  # type: ignore[method-assign]

    def start(self) -> Monthly:  # type: ignore[override]
        meter = Dlt645Meter("m1", str(METER["address"]), "2007", self.wire, frozenset({"import"}))
        found = Monthly("east", [meter], directory=self.data, grid=self.grid, clock=self.clock, put=self.put)
        found._answering.add("m1")
        return found


def happened(found: list[Finding], code: str) -> list[dict[str, str | int]]:
    return [one.details for one in found if isinstance(one, Happened) and one.code == code]


THREE = {n: (f"{n}0.1234", f"2026-0{7 - n}-14 10:15") for n in (1, 2, 3)}


def test_a_new_meter_tells_the_demands_of_all_months_that_it_remembers(tmp_path: Path) -> None:
    told = happened(Months(tmp_path, THREE).work(), "max_demand")
    assert told == [{"kw": kw, "meter_clock": at, "settlements_back": back} for back, (kw, at) in THREE.items()]


def test_after_a_closing_the_month_that_ended_is_asked_for_once_and_not_before(tmp_path: Path) -> None:
    play = Months(tmp_path, demands := dict(THREE))
    play.work()
    assert play.later(DAY_MS) == []
    demands[1] = ("44.0000", "2026-07-20 11:00")
    assert happened(play.later(27 * DAY_MS), "max_demand") == [
        {"kw": "44.0000", "meter_clock": "2026-07-20 11:00", "settlements_back": 1}
    ]
    play.watch = play.start()  # the gateway starts again
    assert play.work() == []


def test_a_settlement_day_that_is_no_closing_is_an_event_once(tmp_path: Path) -> None:
    play = Months(tmp_path, {}, closings=("25 00:00", "28 24:00"))
    assert happened(play.work(), "settlement_mismatch") == [{"meter": "0100", "closings": "2500 2900"}]
    assert happened(play.later(31 * DAY_MS), "settlement_mismatch") == []


@pytest.mark.parametrize("closing", ["01 00:00", "31 24:00"])
def test_the_register_of_the_settlement_day_is_a_witness_of_the_closing(tmp_path: Path, closing: str) -> None:
    play = Months(tmp_path, {}, closings=(closing,))
    truth = play.wire.meter.memory.truth.registers("m1", JULY_1)["import"]
    assert [one for one in play.work() if not isinstance(one, Happened)] == [Settled("m1", JULY_1, truth)]


def test_nothing_is_asked_of_a_silent_meter_or_right_after_the_closing(tmp_path: Path) -> None:
    play = Months(tmp_path, THREE)
    play.watch.saw(Missed("m1", NOON, "timeout", ""))
    assert play.work() == []
    assert play.wire.asked == 0
    play = Months(tmp_path, THREE)
    play.work()
    asked = play.wire.asked
    play.clock.step(26 * DAY_MS - 12 * 3600 * 1000 + LATE_S * 1000 - 1000)  # 2026-08-01 00:59:59
    assert (play.work(), play.wire.asked) == ([], asked)


def test_a_step_that_is_broken_off_is_done_again(tmp_path: Path) -> None:
    play = Months(tmp_path, {1: THREE[1]})
    exchange = play.wire.exchange

    async def broken_off(_: Exchange) -> Answer:
        raise asyncio.CancelledError

    play.wire.exchange = broken_off  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(asyncio.CancelledError):
            play.work()
    play.wire.exchange = exchange  # type: ignore[method-assign]
    assert len(happened(play.work(), "max_demand")) == 1


def test_the_meters_own_demand_is_that_of_the_quarter_hours(tmp_path: Path) -> None:
    play = Months(tmp_path, None)
    told = happened(play.work(), "max_demand")
    assert [one["settlements_back"] for one in told] == list(range(1, 13))
    truth = play.wire.meter.memory.truth
    slots = [JULY_1 - n * 900_000 for n in range(30 * 96, -1, -1)]
    shown = [truth.registers("m1", at_ms)["import"] for at_ms in slots]
    demands = [(after - before) * 4 for before, after in pairwise(shown)]
    assert abs(max(demands) - Decimal(str(told[0]["kw"]))) <= Decimal("0.04")  # a register ends its count of 0.01 kWh
    ended = datetime.fromisoformat(str(told[0]["meter_clock"])).replace(tzinfo=UTC)
    place = slots.index(round(ended.timestamp() * 1000) - 8 * 3_600_000)
    assert max(demands) - demands[place - 1] <= Decimal("0.08")
