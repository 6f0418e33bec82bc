"""What disturbs a line becomes an event of it: another master, noise, a request that the gate refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from played import demo_config, play

from agent.app import Agent
from agent.evidence.reader import Reader
from agent.polling.disturbance import Disturbances
from contract.records import Event
from contract.records import decode as decode_record
from drivers.dlt645.frame import decode
from drivers.dlt645.replies import ReplyReader
from drivers.errors import ForbiddenRequest
from drivers.exchange import Exchange
from drivers.line import LineStatistics
from simulators.faults import Fault
from simulators.site import Site

HOUR_MS = 3_600_000


def events(data: Path) -> list[Event]:
    """Of lines."""
    reader = Reader(data)
    rows = [record for _, record, _ in reader.records(reader.epochs[-1]) if record and b'"kind":"event"' in record]
    reader.close()
    return [body for record in rows if isinstance(body := decode_record(record)[1], Event) and body.scope == "line"]


def test_another_master_becomes_one_event_of_its_line_and_the_others_stay_quiet(tmp_path: Path) -> None:
    play(demo_config(tmp_path), hours=1.5, faults=[Fault("other_master", "east", amount=60.0)])
    (event,) = events(tmp_path)
    assert (event.id, event.code) == ("east", "other_master")
    assert int(event.details["requests"]) >= 3
    assert event.from_ is not None


def test_noise_becomes_one_event_with_its_counts(tmp_path: Path) -> None:
    play(demo_config(tmp_path), hours=2.5, faults=[Fault("noise", "mixed", amount=0.003)])
    found = [event for event in events(tmp_path) if event.code == "line_noise"]
    (event,) = found
    assert event.id == "mixed"
    assert int(event.details["garbled"]) >= 0.1 * int(event.details["exchanges"])


def test_a_request_that_writes_never_leaves_and_is_named_once(tmp_path: Path) -> None:
    async def ask_for_a_write(agent: Agent, _site: Site) -> None:
        body = bytes.fromhex("68010031082220681c0133")  # 1CH: trip or close
        trip = body + bytes([sum(body) & 0xFF, 0x16])
        line = agent.pollers[0].line
        while not line.is_open:
            await agent.clock.sleep(1)
        for _ in range(3):
            with pytest.raises(ForbiddenRequest, match="control code 1C"):
                await line.exchange(Exchange("dlt645-2007", trip, lambda: ReplyReader(decode(trip))))

    play(demo_config(tmp_path), hours=0.5, during=ask_for_a_write)
    (event,) = events(tmp_path)
    assert (event.id, event.code, event.details["count"]) == ("east", "refused_write", 3)
    assert str(event.details["frame"]).startswith("680100310822206")


def test_it_is_said_once_a_day_as_long_as_it_lasts() -> None:
    statistics = LineStatistics()
    watched = Disturbances("east", statistics)
    said = []
    for hour in range(50):
        statistics.exchanges += 100
        statistics.garbled += 12
        statistics.noticed.requests += 5
        said += [(hour, found.code) for found in watched.look(hour * HOUR_MS, hour * HOUR_MS)]
    assert said == [
        (1, "other_master"),
        (1, "line_noise"),
        (25, "other_master"),
        (25, "line_noise"),
        (49, "other_master"),
        (49, "line_noise"),
    ]


def test_a_loose_clamp_and_a_late_echo_are_no_news() -> None:
    statistics = LineStatistics()
    watched = Disturbances("east", statistics)
    for hour in range(50):
        statistics.exchanges += 100
        statistics.garbled += 9
        statistics.noticed.requests += 2
        assert list(watched.look(hour * HOUR_MS, hour * HOUR_MS)) == []
