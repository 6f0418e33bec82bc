"""hubiao watch: rounds of readings, and which meter moved when a load was switched."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from benches import NOON, Bench, effective

from agent.cli.check_online import line_of
from agent.cli.watch import _Lines
from agent.field.watching import Seen, watch_line
from drivers.clock import VirtualClock
from simulators.faults import Fault

TRAINING = Path(__file__).parents[2] / "config" / "samples" / "training.yaml"


def watch(line: str, rounds: int, *faults: Fault) -> dict[str, Seen]:
    config, clock = effective(TRAINING), VirtualClock(NOON)
    seen = {meter["id"]: Seen(meter["id"], line) for meter in config["meters"] if meter["line"] == line}

    async def main() -> None:
        bench = Bench(config, clock, list(faults))
        await bench.open()
        entry = next(entry for entry in config["lines"] if entry["id"] == line)
        wire = line_of(config, entry, bench.ports[line], clock)
        await wire.open()
        await watch_line(config, wire, seen, lambda one: None, rounds)
        await wire.close()
        await bench.close()

    clock.run(main())
    return seen


def test_every_meter_shows_its_register_and_its_power() -> None:
    for line in ("east", "west"):
        for one in watch(line, 1).values():
            assert one.fault == ""
            assert one.total is not None
            assert one.power is not None
            assert one.power > 0


def test_the_meter_whose_load_was_switched_is_the_one_that_moved() -> None:
    # a phase that is lost takes a third of the power away, as switching a load off does
    switched = Fault("phase_missing", "m-102", from_ms=6_000, amount=2)
    assert [one.id for one in watch("east", 4, switched).values() if one.moved] == ["m-102"]
    assert [one.id for one in watch("east", 4).values() if one.moved] == []


def test_a_silent_meter_says_so_and_the_others_go_on() -> None:
    seen = watch("east", 2, Fault("silent", "m-101"))
    assert seen["m-101"].fault.startswith("no answer")
    assert seen["m-104"].rounds == 2


def test_power_is_shown_behind_the_transformer_and_the_register_as_displayed() -> None:
    one = Seen("m-1", "east", total=Decimal("12.30"), power=Decimal("0.5"), before=Decimal("0.25"))
    lines = _Lines({"m-1": one}, {"m-1": Decimal(40)}, changed=False)
    assert lines.cells(one) == ("m-1", "12.30 kWh", "20.000 kW", "+10.000")
