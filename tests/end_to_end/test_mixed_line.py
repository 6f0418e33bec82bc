"""One pair of wires with 1997, 2007 and Modbus meters at two speeds, and the same behind converters, as published."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from played import Played, demo_config, play
from stranger import Stranger, seconds

from agent.app import Agent
from simulators.site import Site
from simulators.wires import Tcp

METERS = ("m-101", "m-103", "m-201", "m-202", "m-301", "m-302")
OLD = ("m-301", "m-302")


def park(
    data: Path, port: str, speeds: dict[str, tuple[int, str]], *, meters: tuple[str, ...] = METERS
) -> dict[str, Any]:
    """Some meters of the demo's park, all on one line."""
    config = demo_config(data)
    config["lines"] = [config["lines"][1] | {"id": "only", "port": port, "baud": 9600, "framing": "8N1"}]
    config["meters"] = [meter for meter in config["meters"] if meter["id"] in meters]
    for meter in config["meters"]:
        baud, framing = speeds.get(meter["id"], (9600, "8N1"))
        meter |= {"line": "only", "baud": baud, "framing": framing}
    config["points"] = [point for point in config["points"] if all(seat["meter"] in meters for seat in point["meters"])]
    points = {point["id"] for point in config["points"]}
    config["tenancies"] = [tenancy for tenancy in config["tenancies"] if tenancy["point"] in points]
    return config


async def bunching(_agent: Agent, site: Site) -> None:
    """What a converter does to bytes: the wire hands over odd pieces, the converter collects them for a while."""
    for wire in site.wires.values():
        assert isinstance(wire, Tcp)
        wire.bunch_s = 0.03
    for bus in site.buses.values():
        bus.fifo = 5


def is_exact(played: Played, meters: tuple[str, ...]) -> Stranger:
    """A stranger finds nothing wrong, every slot is measured, and what was read is what the meter then had."""
    stranger = Stranger()
    for topic, payload in played.messages:
        stranger.receive(topic, payload)
    assert stranger.check() == []
    readings = [reading for _, reading in stranger.of("reading")]
    assert {reading["meter"] for reading in readings} == set(meters)
    assert {reading["quality"] for reading in readings} == {"measured"}
    assert not stranger.of("gap")
    for reading in readings:
        for source in reading["sources"]:
            read_ms = round(seconds(source["read_at"]) * 1000)
            at = played.site.truth.exact(reading["meter"], read_ms)["import"]
            assert abs(Decimal(source["registers"]["import"]) - Decimal(float(at))) < Decimal("0.03")
    return stranger


@pytest.mark.parametrize("seed", [1, 2])
def test_three_protocols_at_two_speeds_share_one_pair_of_wires(tmp_path: Path, seed: int) -> None:
    speeds = dict.fromkeys(OLD, (1200, "8E1")) | {"m-103": (9600, "8E1")}
    played = play(park(tmp_path, "/dev/ttyRS485-1", speeds), hours=2, broker="iotcore", seed=seed)
    is_exact(played, METERS)
    statistics = played.agent.pollers[0].line.statistics
    assert statistics.silent == 0
    assert statistics.garbled == 4  # once a day each DL/T 645 meter is heard out for a namesake: nothing else


def test_the_same_meters_behind_a_converter_that_bunches_and_splits(tmp_path: Path) -> None:
    config = park(tmp_path, "socket://127.0.0.1:0", {})
    played = play(config, hours=2, broker="iotcore", during=bunching)
    is_exact(played, METERS)
    statistics = played.agent.pollers[0].line.statistics
    assert statistics.silent == 0
    assert statistics.garbled == 4  # once a day each DL/T 645 meter is heard out for a namesake: nothing else


def test_modbus_tcp_meters_are_read_and_billed(tmp_path: Path) -> None:
    meters = ("m-201", "m-202", "m-203")
    config = park(tmp_path, "tcp://127.0.0.1:0", {}, meters=meters)
    played = play(config, hours=2, broker="iotcore", during=bunching)
    stranger = is_exact(played, meters)
    frames = [e for _, r in stranger.of("reading") for source in r["sources"] for e in source["exchanges"]]
    assert all(bytes.fromhex(e["request"])[2:6] == b"\0\0\0\6" for e in frames)
