"""What is read back of a meter for a correction: all that it can touch, and no more than that."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from fed_park import Run, meter, park, witness

from agent.evidence.store import Reader
from agent.ledger import past
from agent.ledger.revise import Meter, revise
from bench.evidence_verify import StoredLog, stored
from bench.fed import Fed
from contract.records import parse_slot, slot_instant

START_S, STEP_S, DAYS = parse_slot("2026-07-14T16:00:00Z"), 900, 6
SEED = 11
RUN = Run()


def silent(_meter: str, slot_s: int) -> bool:
    """Three hours, three days, and a slot now and then."""
    hours = (slot_s - START_S) / 3600
    return 5 <= hours < 8 or 30 <= hours < 102 or random.Random(f"{SEED} {slot_s}").random() < 0.1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("past")
    config = park(meter("m-1", 1, "tenant: acme"))
    fed = Fed(
        config, lambda _name, at_ms: {"import": RUN.shown(at_ms)}, slot_instant(START_S - 600),
        log=lambda clock, who: stored(data, clock, who),
    )  # fmt: skip
    fed.run(slot_instant(START_S + DAYS * 86400), silent=silent)
    assert isinstance(fed.log, StoredLog)
    asyncio.run(fed.log.log.close())
    asyncio.run(fed.log.store.close())
    return data


def test_a_correction_comes_out_the_same_as_with_all_that_the_log_has(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(store)
    epoch = reader.epochs[-1]
    reader.close()
    plan = Fed(park(meter("m-1", 1, "tenant: acme")), lambda *_: {}, slot_instant(START_S))
    one = Meter(STEP_S, plan.plan.slot_floor, lambda _slot_s: True, plan.recorder.meters["m-1"].validator.limits)
    draw, changed, shorter = random.Random(SEED), 0, 0
    for _ in range(60):
        first_s = START_S + draw.randrange(STEP_S, DAYS * 86400 - 3 * STEP_S)
        slots = [plan.plan.slot_floor(first_s) + STEP_S * draw.randrange(1, 12) for _ in range(3)]
        found = [witness(slot_instant(slot_s), str(RUN.shown(slot_s * 1000))) for slot_s in sorted(set(slots))]
        bounds = found[0].at_ms // 1000, found[-1].at_ms // 1000
        needed = past.past_of(store, epoch, "m-1", *bounds, STEP_S)
        with monkeypatch.context() as patch:
            patch.setattr(past, "NEAR_STEPS", 10**6)
            everything = past.past_of(store, epoch, "m-1", *bounds, STEP_S)
        assert revise(one, needed, found) == revise(one, everything, found)
        assert needed.items() <= everything.items()
        changed += bool(revise(one, needed, found).values)
        shorter += len(needed) < len(everything)
    assert changed > 10
    assert shorter > 40


def test_of_a_meter_that_is_read_nothing_stays_but_its_last_slots(store: Path) -> None:
    reader = Reader(store)
    epoch = reader.epochs[-1]
    reader.close()
    at_s = START_S + 20 * 3600
    found = past.past_of(store, epoch, "m-1", at_s, at_s + STEP_S, STEP_S)
    assert 2 <= len(found) <= 12
