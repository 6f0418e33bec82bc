"""Late answers, and callers that go away: whatever happens, the next question gets its own answer or none."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

import pytest
from wires import SETTINGS, START_MS, Event, ScriptedPort, dlt, read_energy, read_rtu, rtu_reply

from drivers import late
from drivers.clock import VirtualClock
from drivers.errors import LineError, Silent
from drivers.exchange import Exchange
from drivers.late import mistakable
from drivers.line import Line

TIMEOUT_S = 0.3


def truth(unit: int, start: int) -> list[int]:
    """What the registers of this unit hold: every block is told from every other of the same length."""
    return [unit, start]


def answer_to(request: bytes) -> bytes:
    return rtu_reply(request[0], 3, truth(request[0], int.from_bytes(request[2:4], "big")))


def play_slow_meters(seed: int, exchanges: int, slowest: float) -> tuple[int, int, Line]:
    """Right and wrong answers of random questions to three units that answer after 0.9 to `slowest` timeouts."""
    clock = VirtualClock(START_MS)
    chance = random.Random(seed)

    def script(request: bytes) -> Iterable[Event]:
        return [(TIMEOUT_S * chance.uniform(0.9, slowest), answer_to(request))]

    async def play() -> tuple[int, int, Line]:
        port = ScriptedPort(script)
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        right = wrong = 0
        for _ in range(exchanges):
            unit, start = chance.randint(1, 3), chance.randrange(0, 100, 2)
            answer = None
            for _ in range(chance.randint(1, 3)):  # retries of the same
                try:
                    answer = await line.exchange(read_rtu(unit, start, timeout_s=TIMEOUT_S))
                    break
                except LineError:
                    continue
            if answer is None:
                continue
            if answer.reply == rtu_reply(unit, 3, truth(unit, start)):
                right += 1
            else:
                wrong += 1
        return right, wrong, line

    return clock.run(play())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_late_answers_of_equal_length_never_pair_with_another_question(seed: int) -> None:
    right, wrong, line = play_slow_meters(seed, 1500, slowest=3.0)
    assert wrong == 0
    assert right > 50
    assert line.statistics.late > 500  # heard out, known for what they were


def test_without_hearing_out_the_same_meters_would_be_read_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "mistakable", lambda earlier, later: False)
    assert play_slow_meters(1, 300, slowest=3.0)[1] > 10


def test_a_silent_meter_does_not_hold_up_its_neighbours() -> None:
    clock = VirtualClock(START_MS)

    async def play() -> float:
        port = ScriptedPort(lambda request: [] if request[0] == 1 else [(0.02, answer_to(request))])
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        with pytest.raises(Silent):
            await line.exchange(read_rtu(1, 0))
        given_up = asyncio.get_running_loop().time()
        await line.exchange(read_rtu(2, 0))
        return port.written[1][0] - given_up

    assert clock.run(play()) < 0.01


def test_a_dead_meter_costs_its_timeouts_and_nothing_more() -> None:
    clock = VirtualClock(START_MS)

    async def play() -> float:
        line = Line("east", ScriptedPort(), SETTINGS, clock)
        await line.open()
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            with pytest.raises(Silent):
                await line.exchange(read_rtu(1, 0, timeout_s=0.5))
        return asyncio.get_running_loop().time() - began

    assert clock.run(play()) == pytest.approx(3 * 0.5, abs=0.15)


def test_each_of_several_equal_questions_has_its_own_answer_heard_out() -> None:
    clock = VirtualClock(START_MS)
    delays = iter([0.7, 0.75, 0.8, 0.02])  # two timeouts, then the first answer is taken for the third question's

    async def play() -> None:
        port = ScriptedPort(lambda request: [(next(delays), answer_to(request))])
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        for _ in range(2):
            with pytest.raises(Silent):
                await line.exchange(read_rtu(1, 0, timeout_s=TIMEOUT_S))
        assert (await line.exchange(read_rtu(1, 0, timeout_s=TIMEOUT_S))).reply == rtu_reply(1, 3, truth(1, 0))
        answer = await line.exchange(read_rtu(1, 50, timeout_s=TIMEOUT_S))
        assert answer.reply == rtu_reply(1, 3, truth(1, 50))
        assert line.statistics.late == 3
        assert port.written[3][0] - port.written[2][0] == pytest.approx(0.8, abs=0.05)

    clock.run(play())


def test_the_wait_for_a_late_answer_ends_when_it_has_come() -> None:
    clock = VirtualClock(START_MS)

    async def play() -> float:
        delays = iter([1.2, 0.02])
        port = ScriptedPort(lambda request: [(next(delays), answer_to(request))])
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        with pytest.raises(Silent):
            await line.exchange(read_rtu(1, 0))
        answer = await line.exchange(read_rtu(1, 50))
        assert answer.reply == rtu_reply(1, 3, truth(1, 50))
        assert line.statistics.late == 1
        return port.written[1][0] - port.written[0][0]

    assert clock.run(play()) == pytest.approx(1.2, abs=0.05)


def load_record(day: int) -> Exchange:
    data = bytes.fromhex("0100000601") + bytes((0, 0, day, 0x07, 0x26))
    return Exchange(protocol="dlt645-2007", request=dlt(0x11, data), reader=read_energy().reader)


def dlt_read(protocol: str, control: int, data: str, address: str = "020031082220") -> Exchange:
    request = dlt(control, bytes.fromhex(data), bytes.fromhex(address))
    return Exchange(protocol=protocol, request=request, reader=read_energy().reader)


def test_only_questions_that_a_late_answer_could_fool_wait_for_it() -> None:
    assert mistakable(read_rtu(1, 0), read_rtu(1, 2))
    assert not mistakable(read_rtu(1, 0), read_rtu(1, 0))  # the answer to one is an answer to the other
    assert mistakable(read_rtu(1, 0), read_rtu(1, 8, count=4))  # an exception answer fits both
    assert not mistakable(read_rtu(1, 0), read_rtu(2, 0))
    assert mistakable(load_record(0x01), load_record(0x02))
    assert mistakable(load_record(0x01), load_record(0x01))
    assert not mistakable(read_energy(), read_energy())
    assert not mistakable(read_energy(), read_rtu(1, 0))
    follow_on = dlt_read("dlt645-1997", 0x02, "1090")
    assert mistakable(follow_on, follow_on)
    assert not mistakable(follow_on, dlt_read("dlt645-1997", 0x02, "2090"))
    assert not mistakable(dlt_read("dlt645-2007", 0x11, "00000100"), dlt_read("dlt645-2007", 0x11, "00000200"))
    assert not mistakable(load_record(0x01), dlt_read("dlt645-2007", 0x11, "01000006", "030031082220"))


def play_cancelled(cancel_at: float | int, delay_s: float) -> None:
    """Cancels a caller after so many seconds (float) or event loop turns (int), then asks the next question."""
    clock = VirtualClock(START_MS)

    async def play() -> None:
        port = ScriptedPort(lambda request: [(0.02 if request[3] == 50 else delay_s, answer_to(request))])
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        first = asyncio.ensure_future(line.exchange(read_rtu(1, 0, timeout_s=TIMEOUT_S)))
        if isinstance(cancel_at, float):
            await asyncio.sleep(cancel_at)
        else:
            for _ in range(cancel_at):
                await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        answer = await line.exchange(read_rtu(1, 50, timeout_s=TIMEOUT_S))
        assert answer.reply == rtu_reply(1, 3, truth(1, 50))
        if len(port.written) == 2:
            assert port.written[1][0] - port.written[0][0] > min(delay_s, 3 * TIMEOUT_S)

    clock.run(play())


@pytest.mark.parametrize("delay_s", [0.05, TIMEOUT_S * 1.2, TIMEOUT_S * 2.9])
def test_a_caller_cancelled_at_any_time_leaves_a_clean_line(delay_s: float) -> None:
    for hundredth in range(int(min(delay_s, TIMEOUT_S) * 100)):
        play_cancelled(hundredth / 100 + 0.0005, delay_s)


@pytest.mark.parametrize("turns", range(12))
def test_a_caller_cancelled_at_any_turn_of_the_loop_leaves_a_clean_line(turns: int) -> None:
    play_cancelled(turns, 0.05)


def test_a_neighbour_is_asked_only_when_the_cancelled_exchange_is_over() -> None:
    clock = VirtualClock(START_MS)

    async def play() -> float:
        port = ScriptedPort(lambda request: [(0.2, answer_to(request))])
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        first = asyncio.ensure_future(line.exchange(read_rtu(1, 0)))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await line.exchange(read_rtu(2, 0))
        assert line.statistics.answered == 2
        return port.written[1][0] - port.written[0][0]

    assert clock.run(play()) > 0.2


def test_a_caller_cancelled_in_the_queue_sends_nothing() -> None:
    clock = VirtualClock(START_MS)

    async def play() -> list[int]:
        port = ScriptedPort(lambda request: [(0.1, answer_to(request))])
        line = Line("east", port, SETTINGS, clock)
        await line.open()
        callers = [asyncio.ensure_future(line.exchange(read_rtu(unit, 0))) for unit in (1, 2, 3)]
        await asyncio.sleep(0.05)
        callers[1].cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        return [data[0] for _, data, _ in port.written]

    assert clock.run(play()) == [1, 3]
