"""Offline verification: a clean log has no finding, a spoilt one has the right one at the right index."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from evidence_log import (
    ASLEEP,
    AUDITOR,
    AUDITOR_NAME,
    AUDITOR_VKEY,
    GATEWAY,
    KEY,
    ORIGIN,
    SILENT,
    STRANGER,
    T0,
    Day,
    Log,
    slot_text,
)

from contract import note, records, tree
from contract.eras import Course
from contract.verify import Evidence, pruned_of, verify

CLEAN = Day().build()
CLEAN_LEAVES = CLEAN.leaves
UNSEEN = Day(witnessed=False).build()


@pytest.fixture
def log() -> Log:
    return CLEAN.copy()


@pytest.fixture
def unseen() -> Log:
    """A log that no auditor ever witnessed."""
    return UNSEEN.copy()


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in result["findings"]}


def test_a_clean_log_has_no_finding() -> None:
    result = CLEAN.verify()
    assert result["findings"] == []
    assert (result["ok"], result["first_bad"], result["size"]) == (True, None, len(CLEAN.records))
    assert result["epoch"] == "0f" * 16


def test_a_clean_log_verifies_from_its_records_alone_and_without_auditors() -> None:
    assert CLEAN.verify(leaves=None, auditors=[])["ok"]


# -- an export that was changed by somebody without the key: hashes and notes are those of the log

Spoil = Callable[[Log], int]


def change_a_digit(log: Log) -> int:
    seq = log.find("reading", meter="m-1")
    log.records[seq] = log.records[seq].replace(b'"attempts":1', b'"attempts":2')
    return seq


def delete_a_record(log: Log) -> int:
    del log.records[300]
    return 300


def delete_the_first_record(log: Log) -> int:
    del log.records[0]
    return 0


def delete_the_last_record(log: Log) -> int:
    log.records.pop()
    return len(log.records)


def delete_many_records(log: Log) -> int:
    del log.records[100:900]
    return 100


def swap_two_records(log: Log) -> int:
    log.records[57], log.records[58] = log.records[58], log.records[57]
    return 57


def repeat_a_record(log: Log) -> int:
    log.records.insert(58, log.records[57])
    return 57


def insert_a_record(log: Log) -> int:
    forged = records.canonical({**log.raw(57), "attempts": 9})
    log.records.insert(57, forged)
    return 57


def append_a_record(log: Log) -> int:
    log.records.append(records.canonical({**log.raw(57), "seq": len(log.records)}))
    return len(log.records) - 1


def replace_by_garbage(log: Log) -> int:
    log.records[400] = b"\xff\x00{"
    return 400


def replace_by_another_json(log: Log) -> int:
    log.records[400] = b'{"v":1}'
    return 400


def respace_a_record(log: Log) -> int:
    log.records[400] = json.dumps(log.raw(400)).encode()
    return 400


def blank_a_record(log: Log) -> int:
    log.records[400] = b"{}"
    return 400


WITHOUT_THE_KEY: dict[Spoil, str] = {
    change_a_digit: "hash",
    delete_a_record: "hole",
    delete_the_first_record: "hole",
    delete_the_last_record: "hole",
    delete_many_records: "hole",
    swap_two_records: "order",
    repeat_a_record: "order",
    insert_a_record: "hash",
    append_a_record: "extra",
    replace_by_garbage: "malformed",
    replace_by_another_json: "hash",
    respace_a_record: "form",
    blank_a_record: "hash",
}


@pytest.mark.parametrize("spoil", WITHOUT_THE_KEY, ids=lambda spoil: spoil.__name__)
def test_what_was_changed_without_the_key_is_found_where_it_is(spoil: Spoil, log: Log) -> None:
    first_bad = spoil(log)
    result = log.verify(leaves=CLEAN_LEAVES)
    assert WITHOUT_THE_KEY[spoil] in codes(result)
    assert result["first_bad"] == first_bad
    assert not result["ok"]


def test_a_changed_hash_is_found_where_it_is(log: Log) -> None:
    leaves = list(CLEAN_LEAVES)
    leaves[321] = bytes(32)
    result = log.verify(leaves=leaves)
    assert {"hash", "root"} <= codes(result)
    assert result["first_bad"] == 321


def test_a_record_changed_together_with_its_hash_is_found_behind_the_last_good_checkpoint(log: Log) -> None:
    seq = log.find("reading", meter="m-3", slot=slot_text(40))
    log.rewrite(seq, attempts=2)
    result = log.verify()
    sizes = sorted(note.parse_checkpoint(note.parse_note(text)[0]).size for text in log.checkpoints)
    assert codes(result) == {"root", "receipt"}
    assert result["first_bad"] == max(size for size in sizes if size <= seq)


def test_a_log_cut_short_with_its_hashes_is_truncated(log: Log) -> None:
    size = len(log.records) - 50
    log.records = log.records[:size]
    result = log.verify()
    assert "truncated" in codes(result)
    assert result["first_bad"] == size


# -- notes


def test_a_note_of_another_key_is_refused(log: Log) -> None:
    log.checkpoints[-1] = note.sign_checkpoint(
        STRANGER, note.Checkpoint(ORIGIN, len(log.records), tree.root_of(log.leaves))
    )
    assert codes(log.verify()) == {"checkpoint"}


def test_the_whole_log_under_another_key_is_refused(log: Log) -> None:
    result = log.verify(key=note.public_raw(STRANGER))
    assert {"checkpoint", "receipt", "unsigned"} <= codes(result)
    assert result["first_bad"] == 0


def test_a_note_of_another_origin_is_refused(log: Log) -> None:
    other = note.origin("xihu-01", "gw-2", "0f" * 16)
    log.checkpoints.append(note.sign_checkpoint(GATEWAY, note.Checkpoint(other, 1, CLEAN_LEAVES[0])))
    assert codes(log.verify()) == {"origin"}
    assert "origin" in codes(CLEAN.verify(name=other))


def test_a_note_with_another_size_does_not_verify(log: Log) -> None:
    size = note.parse_checkpoint(note.parse_note(log.checkpoints[5])[0]).size
    log.checkpoints[5] = log.checkpoints[5].replace(f"\n{size}\n", f"\n{size + 1}\n")
    assert codes(log.verify()) == {"checkpoint"}


def test_garbage_among_the_notes_is_named(log: Log) -> None:
    log.checkpoints.insert(3, "what\nis\nthis\n")
    log.receipts.insert(0, "")
    assert codes(log.verify()) == {"checkpoint", "receipt"}


def test_a_smaller_checkpoint_after_a_larger_one_is_a_rollback(log: Log) -> None:
    log.checkpoints.append(log.checkpoints[2])
    result = log.verify()
    assert codes(result) == {"rollback"}
    assert result["first_bad"] == note.parse_checkpoint(note.parse_note(log.checkpoints[2])[0]).size


def test_two_roots_of_one_size_are_a_fork(log: Log) -> None:
    size = len(log.records)
    log.checkpoints.append(note.sign_checkpoint(GATEWAY, note.Checkpoint(ORIGIN, size, bytes(32))))
    assert codes(log.verify()) == {"fork", "root"}


def test_records_behind_the_last_checkpoint_are_named(log: Log) -> None:
    log.checkpoints = log.checkpoints[:-4]
    result = log.verify()
    size = note.parse_checkpoint(note.parse_note(log.checkpoints[-1])[0]).size
    assert codes(result) == {"unsigned"}
    assert result["first_bad"] == size


def test_no_checkpoints_at_all_leave_everything_unsigned(log: Log) -> None:
    log.checkpoints, log.receipts = [], []
    log.records = log.records[:100]
    result = log.verify()
    assert codes(result) == {"unsigned"}
    assert result["first_bad"] == 0


def test_a_receipt_with_a_forged_cosignature_is_refused(log: Log) -> None:
    log.receipts.append(note.cosign(STRANGER, AUDITOR_NAME, log.checkpoints[30], T0 + 60 * 900))
    assert codes(log.verify()) == {"receipt"}


def test_a_receipt_of_an_auditor_who_is_not_pinned_does_not_count(log: Log) -> None:
    log.receipts.append(note.cosign(STRANGER, "audit.example/other", log.checkpoints[30], T0 + 60 * 900))
    assert codes(log.verify()) == {"receipt"}
    assert log.verify(auditors=[])["ok"]


def test_a_receipt_of_an_unknown_root_convicts_the_log(log: Log) -> None:
    forged = note.sign_checkpoint(GATEWAY, note.Checkpoint(ORIGIN, 200, bytes(32)))
    log.receipts.append(note.cosign(AUDITOR, AUDITOR_NAME, forged, T0 + 20 * 900))
    assert codes(log.verify()) == {"receipt"}


def test_a_receipt_beyond_the_log_shows_that_it_was_rolled_back(log: Log) -> None:
    size = len(log.records)
    later = note.sign_checkpoint(GATEWAY, note.Checkpoint(ORIGIN, size + 10, bytes(32)))
    log.receipts.append(note.cosign(AUDITOR, AUDITOR_NAME, later, T0 + 112 * 900))
    result = log.verify()
    assert codes(result) == {"truncated"}
    assert result["first_bad"] == size


def test_a_witness_that_came_days_late_is_named(log: Log) -> None:
    late = note.cosign(AUDITOR, AUDITOR_NAME, log.checkpoints[-1], T0 + 5 * 86_400)
    covered = max(note.parse_checkpoint(note.parse_note(text)[0]).size for text in log.receipts)
    log.receipts.append(late)
    result = log.verify()
    assert codes(result) == {"late_witness"}
    assert result["first_bad"] == covered


# -- a log rewritten by the key's holder: hashes and notes are made anew, only the rules can tell


def reading_of(log: Log, meter: str, slot: int, revision: int = 0) -> int:
    return log.find("reading", meter=meter, slot=slot_text(slot), revision=revision)


def interval_of(log: Log, tenant: str, step: int) -> int:
    return log.find("interval", tenant=tenant, start=slot_text(step))


def first_segment(log: Log, seq: int, **changes: Any) -> int:
    segments = copy.deepcopy(log.raw(seq)["segments"])
    segments[0].update(changes)
    log.rewrite(seq, segments=segments)
    return seq


def wrong_seq(log: Log) -> int:
    log.rewrite(500, seq=501)
    return 500


def another_epoch(log: Log) -> int:
    log.rewrite(500, epoch="1e" * 16)
    return 500


def another_gateway(log: Log) -> int:
    log.rewrite(500, gateway="gw-2")
    return 500


def another_config(log: Log) -> int:
    log.rewrite(500, config="0" * 64)
    return 500


def another_multiplier_in_the_configuration(log: Log) -> int:
    points = log.raw(2)["points"]
    points[1]["meters"][0]["multiplier"] = "50"
    log.rewrite(2, points=points)
    leaf = tree.leaf_hash(log.records[2]).hex()
    for seq in range(3, len(log.records)):
        log.rewrite(seq, config=leaf)
    return interval_of(log, "acme", 0)


def a_missing_field(log: Log) -> int:
    raw = log.raw(500)
    del raw["salt"]
    log.records[500] = records.canonical(raw)
    return 500


def a_float(log: Log) -> int:
    log.records[500] = log.records[500].replace(b'"boot_ms":', b'"boot_ms":1.5,"x":')
    return 500


def a_time_without_a_clock(log: Log) -> int:
    log.rewrite(500, clock="none")
    return 500


def a_reading_out_of_thin_air(log: Log) -> int:
    seq = reading_of(log, "m-1", 30)
    log.rewrite(seq, registers={"import": "9999.00"})
    return seq


def a_reading_and_its_source(log: Log) -> int:
    seq = reading_of(log, "m-1", 30)
    sources = log.raw(seq)["sources"]
    sources[0]["registers"] = {"import": "9999.00"}
    log.rewrite(seq, registers={"import": "9999.00"}, sources=sources)
    return interval_of(log, "acme", 29)


def an_estimate_off_the_line(log: Log) -> int:
    seq = reading_of(log, "m-2", SILENT.start + 2, revision=1)
    log.rewrite(seq, registers={"import": "1008.81"})
    return seq


def a_reading_far_from_its_slot(log: Log) -> int:
    seq = reading_of(log, "m-3", 33)
    sources = log.raw(seq)["sources"]
    sources[0]["read_at"] = records.instant((T0 + 33 * 900) * 1000 + 9_500)
    log.rewrite(seq, sources=sources)
    return seq


def a_confirmation_that_never_was(log: Log) -> int:
    seq = reading_of(log, "m-3", 33)
    sources = log.raw(seq)["sources"]
    sources[0]["confirm"] = []
    log.rewrite(seq, sources=sources)
    return seq


def a_load_record_out_of_thin_air(log: Log) -> int:
    seq = a_reading_out_of_thin_air(log)
    log.rewrite(seq, method="load_profile")
    return seq


def a_load_record_of_another_time(log: Log) -> int:
    seq = a_reading_far_from_its_slot(log)
    log.rewrite(seq, method="load_profile")
    return seq


def a_freeze_that_was_asked_for_once(log: Log) -> int:
    seq = a_confirmation_that_never_was(log)
    log.rewrite(seq, method="freeze")
    return seq


def a_reading_moved_to_another_slot(log: Log) -> int:
    seq = reading_of(log, "m-3", 33)
    log.rewrite(seq, slot=slot_text(34))
    return seq


def a_reading_off_the_grid(log: Log) -> int:
    seq = reading_of(log, "m-3", 33)
    log.rewrite(seq, slot=records.slot_instant(T0 + 33 * 900 + 1))
    return seq


def two_answers_for_one_slot(log: Log) -> int:
    first, second = reading_of(log, "m-3", 33), reading_of(log, "m-3", 34)
    log.rewrite(second, slot=slot_text(33), sources=log.raw(first)["sources"], registers=log.raw(first)["registers"])
    return second


def a_gap_over_an_answered_slot(log: Log) -> int:
    seq = log.find("gap", meter="m-2", from_slot=slot_text(SILENT.start + 3))
    log.rewrite(seq, meter="m-1")
    return seq


def a_gap_of_a_day(log: Log) -> int:
    seq = log.find("gap", meter="m-2", from_slot=slot_text(ASLEEP.start))
    log.rewrite(seq, to_slot=slot_text(ASLEEP.start + 95))
    return seq


def a_gap_that_ends_before_it_begins(log: Log) -> int:
    seq = log.find("gap", meter="m-2", from_slot=slot_text(ASLEEP.start))
    log.rewrite(seq, to_slot=slot_text(ASLEEP.start - 1))
    return seq


def a_revision_without_a_reason(log: Log) -> int:
    seq = reading_of(log, "m-2", SILENT.start, revision=1)
    log.rewrite(seq, supersedes=None)
    return seq


def a_revision_of_something_else(log: Log) -> int:
    seq = reading_of(log, "m-2", SILENT.start, revision=1)
    log.rewrite(seq, supersedes={"seq": 5, "reason": "meter_back"})
    return seq


def a_revision_of_the_future(log: Log) -> int:
    seq = reading_of(log, "m-2", SILENT.start, revision=1)
    log.rewrite(seq, supersedes={"seq": seq + 1, "reason": "meter_back"})
    return seq


def a_skipped_revision(log: Log) -> int:
    seq = reading_of(log, "m-2", SILENT.start, revision=1)
    log.rewrite(seq, revision=2)
    return seq


def an_interval_with_another_total(log: Log) -> int:
    seq = interval_of(log, "acme", 60)
    log.rewrite(seq, kwh="99.5")
    return seq


def an_interval_twice(log: Log) -> int:
    first, second = interval_of(log, "bolt", 60), interval_of(log, "bolt", 61)
    log.rewrite(second, **{key: log.raw(first)[key] for key in ("start", "end", "kwh", "segments")})
    return second


def an_interval_of_two_steps(log: Log) -> int:
    seq = interval_of(log, "bolt", 60)
    log.rewrite(seq, end=slot_text(62))
    return seq


def a_segment_with_another_register(log: Log) -> int:
    return first_segment(log, interval_of(log, "acme", 60), start="1.00")


def a_segment_with_another_multiplier(log: Log) -> int:
    return first_segment(log, interval_of(log, "acme", 60), multiplier="41")


def a_segment_with_another_energy(log: Log) -> int:
    return first_segment(log, interval_of(log, "acme", 60), kwh="84.41")


def a_segment_of_a_neighbours_reading(log: Log) -> int:
    return first_segment(log, interval_of(log, "acme", 60), start_seq=reading_of(log, "m-3", 60))


def a_segment_of_an_older_reading(log: Log) -> int:
    return first_segment(log, interval_of(log, "acme", 60), start_seq=reading_of(log, "m-1", 59), start=None)


def a_segment_of_no_reading(log: Log) -> int:
    return first_segment(log, interval_of(log, "acme", 60), start_seq=2)


def a_share_that_nobody_agreed(log: Log) -> int:
    seq = interval_of(log, "acme", 60)
    raw = log.raw(seq)
    raw["segments"][2].update(share="0.5", kwh="0.2")
    log.rewrite(seq, segments=raw["segments"], kwh=str(sum(Decimal(part["kwh"]) for part in raw["segments"])))
    return seq


def an_interval_of_a_stranger(log: Log) -> int:
    seq = interval_of(log, "bolt", 60)
    log.rewrite(seq, tenant="cord")
    return seq


def a_better_quality(log: Log) -> int:
    seq = interval_of(log, "acme", SILENT.start)
    log.rewrite(seq, quality="measured")
    return seq


def a_day_with_another_total(log: Log) -> int:
    seq = log.find("day", tenant="acme")
    log.rewrite(seq, total="1.0")
    return seq


def a_day_with_energy_moved_to_another_period(log: Log) -> int:
    seq = log.find("day", tenant="acme")
    log.rewrite(seq, periods={"peak": log.raw(seq)["total"]})
    return seq


def a_day_from_other_registers(log: Log) -> int:
    return first_segment(log, log.find("day", tenant="acme"), end="9999.00")


WITH_THE_KEY: dict[Spoil, str] = {
    wrong_seq: "seq",
    another_epoch: "identity",
    another_gateway: "identity",
    another_config: "config",
    another_multiplier_in_the_configuration: "plan",
    a_missing_field: "malformed",
    a_float: "malformed",
    a_time_without_a_clock: "clock",
    a_reading_out_of_thin_air: "registers",
    a_reading_and_its_source: "registers",
    an_estimate_off_the_line: "registers",
    a_reading_far_from_its_slot: "not_measured",
    a_confirmation_that_never_was: "unconfirmed",
    a_load_record_out_of_thin_air: "registers",
    a_load_record_of_another_time: "not_measured",
    a_freeze_that_was_asked_for_once: "unconfirmed",
    a_reading_moved_to_another_slot: "not_measured",
    a_reading_off_the_grid: "grid",
    two_answers_for_one_slot: "duplicate",
    a_gap_over_an_answered_slot: "duplicate",
    a_gap_of_a_day: "gap",
    a_gap_that_ends_before_it_begins: "gap",
    a_revision_without_a_reason: "revision",
    a_revision_of_something_else: "revision",
    a_revision_of_the_future: "malformed",
    a_skipped_revision: "revision",
    an_interval_with_another_total: "sum",
    an_interval_twice: "duplicate",
    an_interval_of_two_steps: "grid",
    a_segment_with_another_register: "registers",
    a_segment_with_another_multiplier: "plan",
    a_segment_with_another_energy: "kwh",
    a_segment_of_a_neighbours_reading: "reference",
    a_segment_of_an_older_reading: "bounds",
    a_segment_of_no_reading: "reference",
    a_share_that_nobody_agreed: "plan",
    an_interval_of_a_stranger: "plan",
    a_better_quality: "quality",
    a_day_with_another_total: "sum",
    a_day_with_energy_moved_to_another_period: "total",
    a_day_from_other_registers: "registers",
}


@pytest.mark.parametrize("spoil", WITH_THE_KEY, ids=lambda spoil: spoil.__name__)
def test_what_the_keys_holder_rewrote_breaks_a_rule_where_it_is(spoil: Spoil, unseen: Log) -> None:
    first_bad = spoil(unseen)
    result = unseen.resigned().verify()
    assert WITH_THE_KEY[spoil] in codes(result)
    assert WITH_THE_KEY[spoil] in {f["code"] for f in result["findings"] if f["seq"] == first_bad}
    assert result["first_bad"] == first_bad


def test_a_log_signed_again_after_it_was_witnessed_is_convicted_by_the_receipts_inside_it(log: Log) -> None:
    change_a_digit(log)
    assert codes(log.resigned().verify()) == {"receipt"}


@pytest.mark.parametrize("changes", [{"receipt": "nothing"}, {"size": 3}])
def test_a_witness_record_must_hold_the_receipt_it_names(changes: dict[str, Any], log: Log) -> None:
    seq = log.find("witness")
    log.rewrite(seq, **changes)
    findings = log.resigned().verify()["findings"]
    assert seq in {found["seq"] for found in findings if found["code"] in ("malformed", "receipt")}


def test_what_was_signed_anew_since_an_auditor_looked_bounds_no_doubt(log: Log) -> None:
    """Checkpoints made anew fit the altered records: only what auditors saw says where the change can be."""
    seq = log.find("reading", meter="m-3", slot=slot_text(30))
    log.rewrite(seq, attempts=2)
    result = log.resigned().verify()
    seen = sorted(note.parse_checkpoint(note.parse_note(text)[0]).size for text in log.receipts)
    assert codes(result) == {"receipt"}
    assert result["first_bad"] == max(size for size in seen if size <= seq)


def test_a_root_says_nothing_where_a_record_and_its_hash_never_came(log: Log) -> None:
    records_ = [*log.records[:300], None, *log.records[301:]]
    evidence = Evidence(records_, None, log.checkpoints, log.receipts)
    found = verify(evidence, KEY, auditors=[AUDITOR_VKEY])
    assert {"root", "receipt"}.isdisjoint(codes(found))
    assert found["first_bad"] == 300


def without(log: Log, *gone: int) -> Log:
    """The log as if these records had never been written: everything behind them moves up, references too."""
    kept = [seq for seq in range(len(log.records)) if seq not in gone]
    moved = {old: new for new, old in enumerate(kept)}
    result = Log(checkpoints=log.checkpoints)
    for old in kept:
        raw = log.raw(old)
        raw["seq"] = moved[old]
        for segment in raw.get("segments", []):
            for side in ("start_seq", "end_seq"):
                segment[side] = moved[segment[side]]
        if raw.get("supersedes"):
            raw["supersedes"]["seq"] = moved[raw["supersedes"]["seq"]]
        result.records.append(records.canonical(raw))
    return result.resigned()


def test_a_slot_that_nobody_answered_is_missing(unseen: Log) -> None:
    seq = unseen.find("gap", meter="m-2", from_slot=slot_text(SILENT.start + 3))
    filled = reading_of(unseen, "m-2", SILENT.start + 3, revision=1)
    intervals = [s for s in range(len(unseen.records)) if uses(unseen, s, filled)]
    days = [s for s in range(len(unseen.records)) if unseen.raw(s)["kind"] == "day"]
    result = without(unseen, seq, filled, *intervals, *days).verify()
    assert codes(result) == {"missing"}
    assert "m-2" in result["findings"][0]["text"]
    assert slot_text(SILENT.start + 3) in result["findings"][0]["text"]


def uses(log: Log, seq: int, reading: int) -> bool:
    segments = log.raw(seq).get("segments", [])
    return any(reading in (segment["start_seq"], segment["end_seq"]) for segment in segments)


def test_a_step_whose_interval_was_never_written_is_named(unseen: Log) -> None:
    days = [s for s in range(len(unseen.records)) if unseen.raw(s)["kind"] == "day"]
    result = without(unseen, interval_of(unseen, "bolt", 70), *days).verify()
    assert codes(result) == {"missing_interval"}
    assert "bolt" in result["findings"][0]["text"]


def test_an_answer_that_came_too_late_is_named(unseen: Log) -> None:
    seq = unseen.find("gap", meter="m-2", from_slot=slot_text(SILENT.start))
    unseen.rewrite(seq, at=records.instant((T0 + (SILENT.start + 3) * 900) * 1000))
    result = unseen.resigned().verify()
    assert codes(result) == {"late"}
    assert result["first_bad"] == seq


def test_a_revision_that_its_intervals_did_not_follow_is_named() -> None:
    day = Day()
    log = day.build()
    raw = log.raw(reading_of(log, "m-3", 100))
    body = records.decode(log.records[raw["seq"]])[1]
    assert isinstance(body, records.Reading)
    revised = {**raw, "seq": len(log.records), "revision": 1, "supersedes": {"seq": raw["seq"], "reason": "test"}}
    revised["at"] = records.instant((T0 + 111 * 900 + 60) * 1000)
    log.records.append(records.canonical(revised))
    seq = len(log.records) - 1
    for hour in range(1, 4):
        log.add(records.Anchor(slot_text(0), None, "test"), T0 + 111 * 900 + 100 + hour)
    log.sign()
    assert log.verify()["ok"], "there was no time to follow yet"
    for slot in range(112, 117):
        day._sweep(slot, T0 + slot * 900 + 5)
    log.sign()
    result = log.verify()
    assert codes(result) == {"stale"}
    assert result["first_bad"] == seq


# -- pruning


def pruned(log: Log, first: int, last: int) -> Log:
    log.add(records.Pruned([[first, last]], "witnessed"), T0 + 112 * 900)
    log.sign()
    return log


def test_bodies_that_were_given_up_and_said_so_are_no_finding(log: Log) -> None:
    pruned(log, 300, 700)
    leaves = log.leaves
    with_places = Evidence(
        [r if not 300 <= i <= 700 else None for i, r in enumerate(log.records)], leaves, log.checkpoints, []
    )
    without_places = Evidence(log.records[:300] + log.records[701:], leaves, log.checkpoints, [])
    for evidence in (with_places, without_places):
        result = verify(evidence, KEY, auditors=[AUDITOR_VKEY])
        assert result["findings"] == []


def test_bodies_that_are_gone_beyond_what_was_given_up_are_a_hole(log: Log) -> None:
    pruned(log, 300, 700)
    evidence = Evidence(log.records[:300] + log.records[703:], log.leaves, log.checkpoints, [])
    result = verify(evidence, KEY)
    assert codes(result) == {"hole"}
    assert result["first_bad"] == 701


def test_what_a_record_of_a_later_epoch_names_is_no_hole_and_names_nothing_of_its_own(log: Log) -> None:
    earlier = "ab" * 16
    log.add(records.Pruned([[300, 700]], "disk", earlier), T0 + 112 * 900)
    log.sign()
    evidence = Evidence(log.records[:300] + log.records[701:], log.leaves, log.checkpoints, [])
    assert codes(verify(evidence, KEY)) == {"hole"}
    assert pruned_of(log.raw(-1), earlier) == [(300, 700)]
    assert verify(replace(evidence, pruned=pruned_of(log.raw(-1), earlier)), KEY)["findings"] == []


# -- recomputation that is handed over


def test_registers_that_their_frames_do_not_say_are_named(unseen: Log) -> None:
    def decode(config: Any, reading: Any, source: Any) -> dict[str, Decimal]:
        assert config["settings"]["interval_s"] == 900
        return {"import": Decimal(int(source["exchanges"][0]["reply"][2:], 16)) / 100}

    assert unseen.verify(decode_reading=decode)["ok"]
    seq = reading_of(unseen, "m-1", 30)
    sources = unseen.raw(seq)["sources"]
    sources[0]["exchanges"][0]["reply"] = "6800000001"
    unseen.rewrite(seq, sources=sources)
    result = unseen.resigned().verify(decode_reading=decode)
    assert codes(result) == {"frames"}
    assert result["first_bad"] == seq


def test_periods_that_the_schedule_does_not_say_are_named(log: Log) -> None:
    def periods_of(config: Any) -> Any:
        return lambda instant_s, schedule: ("peak" if instant_s == T0 + 900 else "unclassified", "")

    result = log.verify(periods_of=periods_of)
    assert codes(result) == {"period"}
    assert result["first_bad"] == log.find("interval", start=slot_text(1))


def test_many_findings_of_one_kind_are_counted() -> None:
    log = Log()
    for seq in range(1_500):
        log.add(records.Anchor(slot_text(0), None, "test"), T0 + seq, gateway=f"gw-{seq}")
    result = log.verify()
    assert len([f for f in result["findings"] if f["code"] == "identity"]) == 1_001
    assert result["findings"][0]["text"].endswith("more") or result["findings"][1]["text"].endswith("more")


def test_nothing_at_all_is_nothing_to_find() -> None:
    assert verify(Evidence([], [], [], []), KEY) == {
        "ok": True,
        "epoch": None,
        "size": 0,
        "first_bad": None,
        "findings": [],
    }


def test_a_slot_may_have_been_answered_a_little_early_by_what_was_given_up() -> None:
    """Met on a full disk: the looks around a slot were given up, the next record was written 0.1 s before the slot."""
    course = Course(lambda *_: None, lambda _config: lambda *_: ("unclassified", ""))
    slot_s = T0 + 900
    course.time(0, (slot_s - 60) * 1000, "aa")
    course.give_up(1)
    course.time(2, slot_s * 1000 - 100, "aa")
    assert course.blind_until_s > slot_s
