"""Tariff registers of a meter against the schedule, step by step."""

from __future__ import annotations

from decimal import Decimal

from agent.ledger.tariff_witness import TariffWitness

STEP, OFFSET = 900, 28800
MIDNIGHT = 1_783_641_600 - (1_783_641_600 + OFFSET) % 86400


def day(witness: TariffWitness, program: dict[int, int], schedule: dict[int, str], begins: int, kwh: str) -> str | None:
    """Plays a day; program and schedule: from which step of the day on which tariff or period holds."""
    registers = witness._last[1] if witness._last else {f"import_t{n}": Decimal(0) for n in range(1, 5)}
    said = None
    if not witness._last:
        witness.take(begins, registers, None)
    for step in range(96):
        tariff = next(n for at, n in sorted(program.items(), reverse=True) if at <= step)
        period = next(p for at, p in sorted(schedule.items(), reverse=True) if at <= step)
        registers = {**registers, f"import_t{tariff}": registers[f"import_t{tariff}"] + Decimal(kwh)}
        said = witness.take(begins + (step + 1) * STEP, registers, period)
    return said


PROGRAM = {0: 4, 32: 2, 44: 4, 52: 3}
SAME = {0: "valley", 32: "peak", 44: "valley", 52: "flat"}
OTHER = {0: "valley", 36: "peak", 44: "valley", 52: "flat"}


def test_registers_that_run_with_the_schedule_are_silent_whatever_their_numbers() -> None:
    witness = TariffWitness(STEP, OFFSET)
    assert day(witness, PROGRAM, SAME, MIDNIGHT, "0.50") is None
    assert not witness.differs


def test_a_register_that_runs_in_two_periods_is_told_once() -> None:
    witness = TariffWitness(STEP, OFFSET)
    said = day(witness, PROGRAM, OTHER, MIDNIGHT, "0.50")
    assert said == "T2 peak 4.00, T2 valley 2.00, T3 flat 22.00, T4 valley 20.00"
    assert day(witness, PROGRAM, OTHER, MIDNIGHT + 86400, "0.50") is None
    assert day(witness, PROGRAM, SAME, MIDNIGHT + 2 * 86400, "0.50") is None
    assert day(witness, PROGRAM, OTHER, MIDNIGHT + 3 * 86400, "0.50") is not None


def test_a_period_that_runs_in_two_registers_is_told() -> None:
    witness = TariffWitness(STEP, OFFSET)
    assert day(witness, {0: 4, 48: 3}, {0: "flat"}, MIDNIGHT, "0.10") is not None


def test_a_standing_meter_says_nothing() -> None:
    assert day(TariffWitness(STEP, OFFSET), PROGRAM, OTHER, MIDNIGHT, "0") is None


def test_a_step_in_which_two_registers_ran_does_not_count() -> None:
    witness = TariffWitness(STEP, OFFSET)
    begins = MIDNIGHT
    witness.take(begins, {"import_t1": Decimal(0), "import_t2": Decimal(0)}, None)
    for step in range(96):
        value = Decimal(step + 1)
        said = witness.take(begins + (step + 1) * STEP, {"import_t1": value, "import_t2": value}, "flat")
    assert said is None
    assert not witness.differs
