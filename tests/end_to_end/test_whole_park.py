"""The whole chain on real pseudo-terminals and real brokers, judged by what was published."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from played import Played, demo_config, play
from stranger import Stranger, seconds

from simulators.broker import mosquitto_program
from simulators.faults import Fault

WITHOUT = pytest.mark.skipif(mosquitto_program() is None, reason="no mosquitto")
BROKERS = ["iotcore", pytest.param("mosquitto", marks=WITHOUT)]
HOUR_MS = 3_600_000


def judged(played: Played) -> Stranger:
    stranger = Stranger()
    for topic, payload in played.messages:
        stranger.receive(topic, payload)
    assert stranger.check() == []
    return stranger


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Ten hours of the demo's park, through iotcore."""
    return play(demo_config(tmp_path_factory.mktemp("park")), hours=10, broker="iotcore", seed=20260715)


@pytest.mark.parametrize("broker", BROKERS)
def test_a_stranger_finds_every_rule_kept_in_what_was_published(broker: str, tmp_path: Path) -> None:
    faults = [
        Fault("silent", "m-103", HOUR_MS, 3 * HOUR_MS),
        Fault("silent", "m-202", 2 * HOUR_MS - 300_000, 2 * HOUR_MS + 2_400_000),
    ]
    played = play(demo_config(tmp_path), hours=5, broker=broker, faults=faults)
    stranger = judged(played)
    assert played.agent.log.delivered == played.agent.log.size == len(stranger.records)
    assert {gap["meter"] for _, gap in stranger.of("gap")} == {"m-103", "m-202"}
    revised = [r for _, r in stranger.of("reading") if r["revision"]]
    assert revised
    quality = {("m-202", "estimated"), ("m-103", "interpolated")}  # by records of a clock that is off
    newest = {(r["meter"], r["slot"]): r["quality"] for r in revised}
    assert {(meter, said) for (meter, _), said in newest.items()} == quality


def test_every_register_equals_the_truth_within_one_count(park: Played) -> None:
    stranger = judged(park)
    checked = 0
    for _, reading in stranger.of("reading"):
        for source in reading["sources"]:
            exact = park.site.truth.exact(reading["meter"], round(seconds(source["read_at"]) * 1000))
            for name, text in source["registers"].items():
                assert is_within_a_count(reading["meter"], Decimal(text), exact[name]), (
                    reading["meter"],
                    name,
                    text,
                    float(exact[name]),
                )
                checked += 1
    assert checked > 2000


def test_every_interval_equals_the_truth_within_a_count_and_the_energy_of_its_offsets(park: Played) -> None:
    stranger = judged(park)
    truth = park.site.truth
    tenants = [r for _, r in stranger.of("interval") if r["tenant"] is not None]
    assert len(tenants) >= 12 * 38
    assert len({r["tenant"] for r in tenants}) == 12
    for interval in tenants:
        (segment,) = interval["segments"]
        bounds = [round(seconds(interval[name]) * 1000) for name in ("start", "end")]
        exact = truth.tenant_kwh(interval["tenant"], *bounds)
        count = Fraction(segment["multiplier"]) * count_of(segment["meter"], Decimal(segment["end"]))
        offsets = sum(
            (
                flowed_off_slot(stranger, truth, interval["tenant"], seq)
                for seq in (segment["start_seq"], segment["end_seq"])
            ),
            Fraction(0),
        )
        assert abs(Fraction(interval["kwh"]) - exact) <= count + offsets


def flowed_off_slot(stranger: Stranger, truth: Any, tenant: str, seq: int) -> Fraction:
    """Energy between the slot and the moment of reading."""
    reading = stranger.records[seq]
    slot, read = (round(seconds(text) * 1000) for text in (reading["slot"], reading["sources"][0]["read_at"]))
    kwh: Fraction = truth.tenant_kwh(tenant, min(slot, read), max(slot, read))
    return kwh


FLOAT_METER = "m-202"  # cuts its register to 0.01 kWh, then sends it with 24 bits of mantissa


def count_of(meter: str, value: Decimal) -> Fraction:
    """What one count of a meter's register is: its last digit, and for the float meter the step of the float on top."""
    if meter == FLOAT_METER:
        return Fraction(1, 100) + 2 * Fraction(2) ** (int(value).bit_length() - 24)  # rounded to it, then to decimals
    return Fraction(Decimal(1).scaleb(int(value.as_tuple().exponent)))


def is_within_a_count(meter: str, value: Decimal, exact: Fraction) -> bool:
    """The register is cut to its count, and may move on by one while it is read."""
    return abs(exact - Fraction(value)) < 2 * count_of(meter, value)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda r: r["kind"] == "interval" and r.update(kwh=str(Decimal(r["kwh"]) + Decimal("0.01"))),
        lambda r: r["kind"] == "reading" and r["registers"].update(import_="1") is None and r.update(slot=None),
        lambda r: r["kind"] == "reading" and r["sources"][0].update(confirm=[]) is None and r.update(checks=[]),
        lambda r: r["kind"] == "interval" and r["segments"][0].update(end_seq=r["segments"][0]["start_seq"]),
        lambda r: r["kind"] == "reading" and r["sources"][0]["registers"].update({"import": "1.00"}),
        lambda r: r["kind"] == "config" and r.update(salt="0" * 32),
    ],
)
def test_the_stranger_sees_one_record_that_was_changed(park: Played, tamper: Callable[[dict[str, Any]], Any]) -> None:
    done = False
    stranger = Stranger()
    for topic, payload in park.messages:
        if not done and topic.rsplit("/", 1)[-1] not in ("checkpoint", "hashes", "status", "live"):
            record = json.loads(payload)
            if record["seq"] > 40 or record["kind"] == "config":
                before = json.dumps(record)
                tamper(record)
                done = json.dumps(record) != before
                payload = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        stranger.receive(topic, payload)
    assert done
    assert stranger.check()


def test_the_stranger_sees_a_record_that_is_missing(park: Played) -> None:
    lost = next(json.loads(payload)["seq"] for topic, payload in park.messages if topic.endswith("/interval"))
    stranger = Stranger()
    for topic, payload in park.messages:
        if b'"seq":%d,' % lost not in payload:
            stranger.receive(topic, payload)
    assert any("holes" in fault for fault in stranger.check())


def test_what_was_billed_and_what_is_missing_make_up_the_truth(tmp_path: Path) -> None:
    """A meter silent for two hours: its energy is all there, only its distribution is estimated."""
    faults = [Fault("silent", "m-301", HOUR_MS, 3 * HOUR_MS)]  # of 1997: it remembers nothing
    played = play(demo_config(tmp_path), hours=5, broker="iotcore", faults=faults)
    stranger = judged(played)
    mine = [r for _, r in stranger.of("interval") if r["tenant"] == "t-jetty"]
    assert {r["quality"] for r in mine} == {"measured", "estimated"}
    start, end = min(r["start"] for r in mine), max(r["end"] for r in mine)
    billed = sum(Fraction(r["kwh"]) for r in mine)
    exact = played.site.truth.tenant_kwh("t-jetty", round(seconds(start) * 1000), round(seconds(end) * 1000))
    assert abs(billed - exact) <= 30 * Fraction(1, 100) + Fraction(1, 10)
    assert len(mine) == (seconds(end) - seconds(start)) / 900


def test_a_restart_goes_on_in_the_same_epoch_without_a_hole(tmp_path: Path) -> None:
    config = demo_config(tmp_path)
    first = play(config, hours=1.1, broker="iotcore")
    second = play(config, hours=1, broker="iotcore", start="2026-07-14T23:40:00Z")
    assert first.agent.log.epoch.id == second.agent.log.epoch.id
    stranger = Stranger()
    for topic, payload in [*first.messages, *second.messages]:
        stranger.receive(topic, payload)
    boots = [r for _, r in stranger.of("boot")]
    assert [boot["cause"] for boot in boots] == ["new_store", "start"]
    gaps = [gap for _, gap in stranger.of("gap")]
    assert {gap["why"] for gap in gaps} == {"power"}
    assert all(len(seqs) == 1 for seqs in first_answers(stranger).values())
    filled = [r for _, r in stranger.of("reading") if r["revision"] == 1]
    assert {r["slot"] for r in filled} >= {gap["from_slot"] for gap in gaps}


def first_answers(stranger: Stranger) -> dict[tuple[str, str], list[int]]:
    answers: dict[tuple[str, str], list[int]] = {}
    for seq, record in sorted(stranger.records.items()):
        if record["kind"] == "reading" and record["revision"] == 0:
            answers.setdefault((record["meter"], record["slot"]), []).append(seq)
        elif record["kind"] == "gap":
            assert record["from_slot"] == record["to_slot"]
            answers.setdefault((record["meter"], record["from_slot"]), []).append(seq)
    return answers
