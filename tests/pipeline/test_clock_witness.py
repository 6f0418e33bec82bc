"""Many meters whose clocks move together show that ours did."""

from __future__ import annotations

import pytest
from fed_park import Run, fed, meter, park

from agent.ledger.clock_witness import ClockWitness
from agent.reading import ClockMoved
from contract.records import Event, parse_instant


def told(moves: list[tuple[str, int]]) -> list[int | None]:
    witness = ClockWitness()
    return [witness.take(meter, moved_s) for meter, moved_s in moves]


def test_five_clocks_that_move_together_are_ours() -> None:
    moves = [("m-1", -60), ("m-2", -58), ("m-3", -61), ("m-4", -60), ("m-5", -63), ("m-6", -60)]
    assert told(moves) == [None, None, None, None, -60, None]


def test_meters_looked_at_before_the_step_do_not_hide_it() -> None:
    calm = [(f"m-{n}", 0) for n in range(20)]
    assert told([*calm, *((name, 3600) for name, _ in calm[:5])])[-1] == 3600


@pytest.mark.parametrize(
    "moves",
    [
        [("m-1", -600), ("m-2", 0), ("m-3", 1), ("m-4", 0), ("m-5", -1)],  # one was set
        [("m-1", -60), ("m-2", 40), ("m-3", -300), ("m-4", 90), ("m-5", -45)],  # all were set, by a broadcast
        [(f"m-{n}", 2) for n in range(9)],  # they drift
        [("m-1", -60)] * 9,  # one meter, again and again
    ],
)
def test_meters_that_were_set_or_drift_say_nothing_of_our_clock(moves: list[tuple[str, int]]) -> None:
    assert set(told(moves)) == {None}


def test_the_gateways_own_clock_in_dispute_is_an_event_of_the_gateway() -> None:
    names = [f"m-{n}" for n in range(1, 6)]
    meters = "\n".join(meter(name, n, "tenant: acme") for n, name in enumerate(names, 1))
    with fed(park(meters), {name: Run() for name in names}) as played:
        played.run("2026-07-14T16:30:00Z")
        for name in names:
            played.take(ClockMoved(name, parse_instant("2026-07-14T16:30:00Z"), 120))
        played.settle()
        [event] = [event for event in played.bodies(Event) if event.code == "clock_dispute"]
        assert (event.scope, event.details) == ("gateway", {"meters_moved_s": 120})
