"""What a meter needs, learned from its answers: waits, preamble, quiet time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drivers.dlt645.requests import read
from drivers.errors import Garbled, Silent
from drivers.exchange import Answer, Exchange
from drivers.habits import FLOOR_S, STRANGER_WHOLE, WHOLE_EVERY, HabitualBus
from drivers.line import LineStatistics
from drivers.modbus import adu
from drivers.modbus.replies import RtuReply

ADDRESS = "202208310002"
DLT645 = read("2007", ADDRESS, "00010000")


def modbus() -> Exchange:
    request = adu.encode_rtu(5, adu.read_request(3, 0, 10))
    return Exchange("modbus-rtu", request, lambda: RtuReply(request), quiet_before_s=0.00365, reply_timeout_s=0.5)


class Meter:
    """Answers after `latency_s` what `hears` lets through and the asker waits for."""

    def __init__(self, latency_s: float = 0.03, hears: Callable[[Exchange], bool] = lambda exchange: True) -> None:
        self.latency_s, self.hears = latency_s, hears
        self.asked: list[Exchange] = []

    async def exchange(self, exchange: Exchange) -> Answer:
        self.asked.append(exchange)
        if not self.hears(exchange) or self.latency_s > exchange.reply_timeout_s:
            raise Silent("no answer")
        return Answer(exchange.request, b"", 0, 0, self.latency_s)


def ask(bus: HabitualBus, exchange: Exchange, times: int = 1) -> int:
    """How many of so many questions were answered."""

    async def run() -> int:
        answered = 0
        for _ in range(times):
            try:
                await bus.exchange(exchange)
                answered += 1
            except Silent:
                pass
        return answered

    return asyncio.run(run())


def made(meter: Meter, **statistics: Any) -> HabitualBus:
    return HabitualBus(meter, LineStatistics(**statistics))


def test_a_quick_meter_is_waited_for_a_short_time_once_it_answered() -> None:
    meter = Meter(latency_s=0.05)
    ask(made(meter), modbus(), 2)
    assert [exchange.reply_timeout_s for exchange in meter.asked] == [0.5, pytest.approx(0.125)]


def test_no_wait_is_below_the_floor_or_above_what_the_driver_asked_for() -> None:
    quick, slow = Meter(latency_s=0.001), Meter(latency_s=0.4)
    ask(made(quick), modbus(), 2)
    ask(made(slow), modbus(), 2)
    assert quick.asked[-1].reply_timeout_s == FLOOR_S
    assert slow.asked[-1].reply_timeout_s == 0.5


def test_an_answer_may_still_come_late_as_long_as_without_the_short_wait() -> None:
    meter = Meter()
    ask(made(meter), modbus(), 2)
    assert [exchange.late_s for exchange in meter.asked] == [1.5, 1.5]


def test_after_one_silence_a_meter_gets_its_whole_time_once() -> None:
    meter = Meter()
    bus = made(meter)
    ask(bus, modbus())
    meter.latency_s = 0.45
    assert ask(bus, modbus(), 2) == 1


def test_a_dead_meter_costs_little_but_gets_its_whole_time_now_and_then() -> None:
    meter = Meter()
    bus = made(meter)
    ask(bus, modbus())
    meter.latency_s = 9.0
    ask(bus, modbus(), 4 * WHOLE_EVERY)
    whole = [exchange.reply_timeout_s for exchange in meter.asked[3:]].count(0.5)
    assert whole == 4


def test_a_meter_that_never_answered_is_waited_for_like_its_neighbours() -> None:
    meter = Meter(latency_s=9.0)
    ask(made(meter, slowest_s=0.05), replace(modbus(), reply_timeout_s=1.0), 13)
    quick = pytest.approx(0.125)
    assert [exchange.reply_timeout_s for exchange in meter.asked] == [0.5, *[quick] * 10, 1.0, quick]


def test_one_slow_answer_on_a_line_is_not_waited_for_at_each_dead_meter_for_long() -> None:
    """A busy gateway hears an answer late now and then; two sweeps of 32 meters forget it."""
    line = LineStatistics()
    dead = HabitualBus(Meter(hears=lambda exchange: False), line)
    line.heard(0.23)
    for _ in range(128):
        line.heard(0.03)
    assert ask(dead, modbus(), 3) == 0
    assert dead.habits.wait_s(0.5, line.slowest_s) == FLOOR_S


def test_a_slow_meter_among_quick_ones_is_heard_soon_and_from_then_on() -> None:
    for latency_s, missed in ((0.45, 0), (0.9, STRANGER_WHOLE)):
        meter = Meter(latency_s)
        assert ask(made(meter, slowest_s=0.03), replace(modbus(), reply_timeout_s=1.0), 20) == 20 - missed


def test_the_modbus_silence_is_never_shortened() -> None:
    meter = Meter()
    ask(made(meter), modbus(), 60)
    assert {exchange.quiet_before_s for exchange in meter.asked} == {0.00365}


def test_an_easy_meter_ends_without_preamble_and_quiet_time() -> None:
    meter = Meter()
    ask(made(meter), DLT645, 60)
    last = meter.asked[-1]
    assert (last.preamble, last.quiet_before_s) == (b"", 0.0)
    assert last.request == DLT645.request


@pytest.mark.parametrize("needed", [1, 2, 4])
def test_a_meter_that_needs_a_preamble_keeps_it_and_loses_no_reading(needed: int) -> None:
    meter = Meter(hears=lambda exchange: len(exchange.preamble) >= needed)
    assert ask(made(meter), DLT645, 60) == 60
    assert len(meter.asked[-1].preamble) == needed
    assert len(meter.asked) <= 61  # one question was asked twice


def test_a_meter_that_needs_quiet_keeps_it() -> None:
    meter = Meter(hears=lambda exchange: exchange.quiet_before_s >= 0.004)
    assert ask(made(meter), DLT645, 60) == 60
    assert meter.asked[-1].quiet_before_s == 0.005


def test_a_meter_that_fell_deaf_at_a_proven_step_is_spoken_to_more_clearly() -> None:
    meter = Meter()
    bus = made(meter)
    ask(bus, DLT645, 60)
    meter.hears = lambda exchange: len(exchange.preamble) >= 1
    assert ask(bus, DLT645, 10) == 9
    assert len(meter.asked[-1].preamble) == 1


def test_a_question_that_was_answered_unusably_is_not_asked_twice() -> None:
    meter = Meter()
    bus = made(meter)
    ask(bus, DLT645, 3)
    meter.asked.clear()

    def garble(exchange: Exchange) -> bool:
        raise Garbled("two answers")

    meter.hears = garble
    with pytest.raises(Garbled):
        ask(bus, DLT645)
    assert len(meter.asked) == 1
