"""Instants and their tariff periods, by the shipped schedules; what a schedule file may not say."""

from __future__ import annotations

import json
import pathlib
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli import cli
from config.schedule_files import DIRECTORY, ScheduleFileError, holiday_files, schedule_files
from contract.schedule import DAY_MIN, Holidays, Schedule
from contract.tariff import Classified, Tariff, classify, period_finder

OFFSET_S = 8 * 3600
FILES = schedule_files()
LISTS = holiday_files()
HOLIDAYS = Holidays.parse(*(item.data for item in LISTS.values()))

# The tables of settlement.md §4.1-4.3 as they are printed there: (schedule, a day in the season, hours)
SPRING_2026 = "valley 00-07, flat 07-11, valley 11-14, flat 14-16, peak 16-23, flat 23-24"
SUMMER_2026 = "valley 00-07, flat 07-11, valley 11-14, flat 14-16, peak 16-18, sharp 18-22, peak 22-23, flat 23-24"
SPRING_2024 = "valley 00-08, peak 08-11, valley 11-13, peak 13-17, flat 17-24"
SUMMER_2024 = "valley 00-08, peak 08-09, sharp 09-11, valley 11-13, flat 13-15, sharp 15-17, peak 17-23, flat 23-24"
LARGE_2021 = "valley 00-08, peak 08-09, sharp 09-11, valley 11-13, peak 13-15, sharp 15-17, peak 17-22, valley 22-24"
GENERAL_2021 = "valley 00-08, peak 08-11, valley 11-13, peak 13-19, sharp 19-21, peak 21-22, valley 22-24"
TABLES = [
    ("zj-2026", ["2026-09-15", "2026-11-30", "2027-03-15", "2027-06-30"], SPRING_2026),
    ("zj-2026", ["2026-07-01", "2026-08-31", "2026-12-01", "2027-01-02"], SUMMER_2026),
    ("zj-2024", ["2024-03-01", "2025-02-28", "2026-06-30", "2025-09-01"], SPRING_2024),
    ("zj-2024", ["2024-07-01", "2025-01-01", "2025-12-31", "2024-08-31"], SUMMER_2024),
    ("zj-2021-large", ["2021-10-15", "2022-02-05", "2023-07-01", "2024-02-29"], LARGE_2021),
    ("zj-2021-general", ["2021-10-15", "2022-05-01", "2023-12-31", "2024-02-29"], GENERAL_2021),
]


def local(text: str) -> int:
    """Seconds since 1970 of a park-local time."""
    return int(datetime.fromisoformat(f"{text}+08:00").timestamp())


def schedule(name: str) -> Schedule:
    return Schedule.parse(FILES[name].data)


def hours(table: str) -> list[tuple[int, int, str]]:
    parts = [part.split() for part in table.split(", ")]
    return [(int(bounds[:2]), int(bounds[3:]), period) for period, bounds in parts]


@pytest.mark.parametrize(("name", "days", "table"), TABLES, ids=[f"{n} {d[0]}" for n, d, _ in TABLES])
def test_every_change_of_a_table_falls_between_its_last_and_its_first_second(
    name: str, days: list[str], table: str
) -> None:
    one = schedule(name)
    for day in days:
        for start, end, period in hours(table):
            midnight = local(f"{day}T00:00:00")
            expected = Classified(period, f"{name}@1")
            for second in (start * 3600, (start + end) * 1800, end * 3600 - 1):
                assert classify(midnight + second, [one], HOLIDAYS, OFFSET_S) == expected, (day, second)


@pytest.mark.parametrize(
    ("name", "time", "period"),
    [
        ("zj-2026", "2026-10-01T00:00:00", "valley"),
        ("zj-2026", "2026-10-01T07:00:00", "valley"),  # flat in the season's table
        ("zj-2026", "2026-10-01T08:59:59", "valley"),
        ("zj-2026", "2026-10-01T09:00:00", "deep_valley"),
        ("zj-2026", "2026-10-03T14:59:59", "deep_valley"),
        ("zj-2026", "2026-10-03T15:00:00", "flat"),
        ("zj-2026", "2026-10-03T16:00:00", "peak"),
        ("zj-2026", "2026-10-04T09:00:00", "flat"),  # the fourth day is none of the first three
        ("zj-2026", "2026-09-30T09:00:00", "flat"),
        ("zj-2024", "2026-05-05T10:00:00", "deep_valley"),
        ("zj-2024", "2026-05-05T14:00:00", "peak"),
        ("zj-2024", "2026-05-06T10:00:00", "peak"),
        ("zj-2024", "2026-02-14T13:59:59", "peak"),
        ("zj-2024", "2026-02-15T13:59:59", "deep_valley"),
        ("zj-2024", "2026-02-23T10:00:00", "deep_valley"),
        ("zj-2024", "2026-02-24T10:00:00", "peak"),
        ("zj-2024", "2025-01-28T10:00:00", "deep_valley"),
        ("zj-2024", "2025-02-04T13:59:59", "deep_valley"),
        ("zj-2024", "2025-02-05T10:00:00", "peak"),
        ("zj-2024", "2025-10-08T10:00:00", "deep_valley"),
    ],
)
def test_holidays_are_laid_over_the_day_for_the_hours_they_name(name: str, time: str, period: str) -> None:
    assert classify(local(time), [schedule(name)], HOLIDAYS, OFFSET_S).period == period


@pytest.mark.parametrize(
    ("name", "time", "period"),
    [
        ("zj-2024", "2024-05-01T10:00:00", "unclassified_holiday"),
        ("zj-2024", "2024-05-05T13:59:59", "unclassified_holiday"),
        ("zj-2024", "2024-05-01T09:59:59", "peak"),
        ("zj-2024", "2024-05-06T10:00:00", "peak"),
        ("zj-2024", "2024-04-30T10:00:00", "peak"),
        ("zj-2024", "2024-10-08T12:00:00", "unclassified_holiday"),
        ("zj-2024", "2024-10-09T12:00:00", "valley"),
        ("zj-2026", "2027-01-20T10:00:00", "flat"),
        ("zj-2026", "2027-01-21T10:00:00", "unclassified_holiday"),
        ("zj-2026", "2027-02-28T14:59:59", "unclassified_holiday"),
        ("zj-2026", "2027-02-28T15:00:00", "flat"),
        ("zj-2026", "2027-03-01T10:00:00", "flat"),
        ("zj-2026", "2027-02-10T06:59:59", "valley"),  # valley either way
        ("zj-2026", "2027-02-10T07:00:00", "unclassified_holiday"),
        ("zj-2026", "2027-05-05T10:00:00", "unclassified_holiday"),
        ("zj-2021-large", "2022-02-01T10:00:00", "sharp"),  # no override: nothing would change
    ],
)
def test_without_a_list_only_hours_that_a_holiday_would_change_are_open(name: str, time: str, period: str) -> None:
    assert classify(local(time), [schedule(name)], HOLIDAYS, OFFSET_S) == Classified(period, f"{name}@1")


def test_a_policy_change_takes_effect_at_local_midnight_inside_a_billing_period() -> None:
    both = [schedule("zj-2026"), schedule("zj-2024")]
    changes = [classify(local("2026-07-01T00:00:00") + second, both, HOLIDAYS, OFFSET_S) for second in (-1, 0)]
    assert changes == [("flat", "zj-2024@1"), ("valley", "zj-2026@1")]
    assert classify(local("2026-06-30T08:30:00"), both, HOLIDAYS, OFFSET_S).period == "peak"
    assert classify(local("2026-07-01T08:30:00"), both, HOLIDAYS, OFFSET_S).period == "flat"


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("zj-2026", "2026-06-30T23:59:59"),
        ("zj-2024", "2026-07-01T00:00:00"),
        ("zj-2024", "2024-02-29T23:59:59"),
        ("zj-2021-large", "2021-10-14T23:59:59"),
        ("zj-2021-general", "2024-03-01T00:00:00"),
    ],
)
def test_outside_its_validity_a_schedule_is_never_applied(name: str, time: str) -> None:
    assert classify(local(time), [schedule(name)], HOLIDAYS, OFFSET_S) == ("unclassified", "")


def test_two_schedules_valid_on_one_day_are_refused() -> None:
    with pytest.raises(ValueError, match=r"zj-2021-.* are both valid on 2021-10-15"):
        Tariff([schedule("zj-2021-large"), schedule("zj-2021-general")], HOLIDAYS, OFFSET_S)


def test_the_day_is_cut_by_the_parks_offset() -> None:
    tariff = Tariff([schedule("zj-2026")], HOLIDAYS, -3600)
    noon = int(datetime(2026, 9, 15, 12, tzinfo=UTC).timestamp())
    assert tariff.classify(noon).period == "valley"
    assert tariff.classify(noon - 3600).period == "flat"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(FILES)), st.dates(date(2021, 1, 1), date(2030, 12, 31)))
def test_every_day_is_covered_exactly_once(name: str, day: date) -> None:
    spans = schedule(name).periods_of_day(day, HOLIDAYS)
    assert spans[0].start == 0
    assert spans[-1].end == DAY_MIN
    assert all(a.end == b.start and a.period != b.period for a, b in pairwise(spans))


def test_bounds_are_the_minutes_that_slots_must_hit() -> None:
    assert {minute % 60 for minute in schedule("zj-2026").bounds()} == {0}
    assert {9 * 60, 15 * 60, 22 * 60} <= schedule("zj-2026").bounds()


def test_a_point_may_have_a_schedule_of_its_own() -> None:
    config = {
        "settings": {"utc_offset": "+08:00", "schedules": ["zj-2026"]},
        "schedules": [FILES[name].entry() for name in ("zj-2026", "zj-2024")],
        "holidays": [item.entry() for item in LISTS.values()],
    }
    period_at = period_finder(config)
    assert period_at(local("2026-07-01T20:00:00"), None) == ("sharp", "zj-2026@1")
    assert period_at(local("2026-07-01T20:00:00"), "zj-2024") == ("unclassified", "")
    assert period_at(local("2026-06-01T20:00:00"), "zj-2024") == ("flat", "zj-2024@1")
    with pytest.raises(ValueError, match="no such schedule: ev"):
        period_at(0, "ev")
    with pytest.raises(ValueError, match="no such schedule: ev"):
        period_finder({**config, "settings": {"utc_offset": "+08:00", "schedules": ["ev"]}})


# ---- files


def day_of(*spans: tuple[str, str, str]) -> list[dict[str, str]]:
    return [{"from": start, "to": end, "period": period} for start, end, period in spans]


def page(day: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "id": "x",
        "version": "1",
        "applies_to": "all",
        "source": "a test",
        "status": "assumed",
        "utc_offset": "+08:00",
        "valid_from": "2026-01-01",
        "valid_to": None,
        "ratios": None,
        "seasons": [{"months": [str(n) for n in range(1, 13)], "day": day or day_of(("00:00", "24:00", "flat"))}],
        "overrides": [],
        **changes,
    }


def test_half_hours_minutes_and_spans_over_midnight_can_be_said() -> None:
    one = Schedule.parse(page(day_of(("22:30", "06:15", "valley"), ("06:15", "22:30", "peak"))))
    times = {"06:14:59": "valley", "06:15:00": "peak", "22:29:59": "peak", "22:30:00": "valley", "00:00:00": "valley"}
    found = {time: classify(local(f"2026-03-01T{time}"), [one], HOLIDAYS, OFFSET_S).period for time in times}
    assert found == times
    assert {6 * 60 + 15, 22 * 60 + 30} <= one.bounds()


HALF = day_of(("00:00", "12:00", "flat"))
REFUSED: list[tuple[dict[str, Any], str]] = [
    (page(HALF), "seasons[0].day: nothing covers 12:00–24:00"),
    (page(day_of(("01:00", "24:00", "flat"))), "seasons[0].day: nothing covers 00:00–01:00"),
    (
        page(day_of(("00:00", "08:00", "flat"), ("08:30", "24:00", "flat"))),
        "seasons[0].day: nothing covers 08:00–08:30",
    ),
    (
        page(day_of(("00:00", "09:00", "flat"), ("08:30", "24:00", "flat"))),
        "seasons[0].day: 08:30–09:00 is covered twice",
    ),
    (
        page(day_of(("00:00", "24:00", "flat"), ("22:00", "01:00", "valley"))),
        "seasons[0].day: 22:00–24:00 is covered twice",
    ),
    (page(day_of(("00:00", "24:00", "night"))), "seasons[0].day[0].period: 'night' is none of"),
    (page(day_of(("00:00", "24:30", "flat"))), "seasons[0].day[0].to: '24:30' is no time of day"),
    (page(day_of(("0:00", "24:00", "flat"))), "seasons[0].day[0].from: '0:00' is no time of day"),
    (page(day_of(("00:00", "24:00", "flat"), ("05:00", "05:00", "peak"))), "seasons[0].day[1]: 05:00–05:00 is empty"),
    (page(day_of(("00:00", "24:00", "flat"), ("24:00", "05:00", "peak"))), "seasons[0].day[1]: 24:00–05:00 is empty"),
    (page(seasons=[]), "seasons: must be a list with entries"),
    (
        page(seasons=[{"months": ["1"], "day": day_of(("00:00", "24:00", "flat"))}]),
        "seasons: no season has month 2, 3, 4",
    ),
    (
        page(seasons=[{"months": [*range(1, 13), "1", "13"], "day": day_of(("00:00", "24:00", "flat"))}]),
        "seasons[0].months: month 1 stands in two seasons",
    ),
    (page(valid_to="2026-01-01"), "valid_to: 2026-01-01 is not after valid_from"),
    (page(valid_from="2026-02-30"), "valid_from: '2026-02-30' is no date"),
    (page(utc_offset="8"), "utc_offset: "),
    (page(status="official"), "status: 'official' is none of"),
    (page(version="0"), "version: '0' is no whole number"),
    (page(id="ZJ 2026"), "id: 'ZJ 2026' is no id"),
    (page(source=None), "source: missing"),
    (page(ratios={"night": "1"}), "ratios.night: none of"),
    (page(ratios={"peak": 1.85}), "ratios.peak: 1.85 is no decimal text"),
    (page(override=[]), "override: unknown key"),
    (page(overrides=[{"days": {"holiday": "christmas"}, "set": HALF}]), "overrides[0].days.holiday: 'christmas'"),
    (page(overrides=[{"days": {"holiday": "labour_day", "first": "0"}, "set": HALF}]), "overrides[0].days.first: '0'"),
    (page(overrides=[{"days": {"weekday": "6"}, "set": HALF}]), "overrides[0].days: must be a mapping of holiday"),
    (
        page(overrides=[{"days": {"holiday": "labour_day"}, "set": [*HALF, *HALF]}]),
        "overrides[0].set: 00:00–12:00 is covered twice",
    ),
]


@pytest.mark.parametrize(("data", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_a_schedule_that_does_not_say_one_period_for_every_instant_is_refused(data: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as raised:
        Schedule.parse({"schedule": data})
    assert text in str(raised.value)


def test_all_faults_of_a_schedule_are_named_at_once() -> None:
    with pytest.raises(ValueError) as raised:
        Schedule.parse(page(HALF, status="", version="x", ratios=[]))
    assert [line.split(":")[0] for line in str(raised.value).splitlines()] == [
        "version",
        "status",
        "ratios",
        "seasons[0].day",
    ]


@pytest.mark.parametrize(
    ("documents", "text"),
    [
        ([{"year": "2027"}], "must be a mapping with year and days_off"),
        ([{"year": "27", "days_off": {}}], "year: '27' is no year"),
        ([{"year": "2027", "days_off": {}}] * 2, "year: 2027 has two lists"),
        ([{"year": "2027", "days_off": {"x": {"first": "2027-01-01", "last": "2027-01-01"}}}], "days_off.x: none of"),
        ([{"year": "2027", "days_off": {"labour_day": "2027-05-01"}}], "labour_day: must be a mapping of first and"),
        (
            [{"year": "2027", "days_off": {"labour_day": {"first": "2027-05-03", "last": "2027-05-01"}}}],
            "2027-05-03 to 2027-05-01 is no holiday of 2027",
        ),
        (
            [{"year": "2027", "days_off": {"labour_day": {"first": "2026-05-01", "last": "2026-05-03"}}}],
            "is no holiday of 2027",
        ),
    ],
)
def test_a_holiday_list_that_cannot_be_is_refused(documents: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(ValueError) as raised:
        Holidays.parse(*documents)
    assert text in str(raised.value)


def test_a_year_with_a_list_has_no_open_holidays() -> None:
    empty = Holidays.parse({"year": "2027", "days_off": {}})
    assert classify(local("2027-05-01T10:00:00"), [schedule("zj-2026")], empty, OFFSET_S).period == "flat"


def test_shipped_files_say_where_they_come_from() -> None:
    assert {name: schedule(name).status for name in FILES} == {
        "zj-2021-general": "assumed",
        "zj-2021-large": "assumed",
        "zj-2024": "secondary-source",
        "zj-2026": "secondary-source",
    }
    for item in (*FILES.values(), *LISTS.values()):
        assert item.text == item.path.read_text(encoding="utf-8")
        assert len(item.sha256) == 64


def test_a_directory_of_bad_files_is_refused_with_file_and_place(tmp_path: pathlib.Path) -> None:
    text = (DIRECTORY / "zj-2024.yaml").read_text(encoding="utf-8")
    (tmp_path / "zj-2024.yaml").write_text(text.replace('to: "08:00", period: valley', 'to: "08:00", period: low', 1))
    (tmp_path / "renamed.yaml").write_text(text)
    (tmp_path / "broken.yaml").write_text("schedule:\n  id: [\n")
    with pytest.raises(ScheduleFileError) as raised:
        schedule_files(tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("broken.yaml:3:1: ")
    assert lines[1] == "renamed.yaml: id: 'zj-2024' is not the file's name"
    assert lines[2].startswith("zj-2024.yaml: seasons[0].day[0].period: 'low' is none of")
    (tmp_path / "holidays-2030.yaml").write_text("holidays: {year: 2030}\n")
    with pytest.raises(ScheduleFileError, match=r"holidays-2030\.yaml: holidays: must be a mapping"):
        holiday_files(tmp_path)


# ---- the command


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["--lang", "en", "tariff", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_echoes_instants_and_reads_bare_ones_as_park_local() -> None:
    given_ = [
        "2026-06-30T15:59:59Z",
        "2026-07-01T00:00:00",
        "2026-07-01 18:00",
        "2026-06-30 24:00",
        "2021-01-01T00:00Z",
    ]
    code, out, err = run("--schedule", "zj-2024", "--schedule", "zj-2026", "--json", *given_)
    assert (code, err) == (0, "")
    assert json.loads(out) == [
        {"instant": given_[0], "schedule": "zj-2024@1", "period": "flat"},
        {"instant": given_[1], "schedule": "zj-2026@1", "period": "valley"},
        {"instant": given_[2], "schedule": "zj-2026@1", "period": "sharp"},
        {"instant": given_[3], "schedule": "zj-2026@1", "period": "valley"},
        {"instant": given_[4], "schedule": None, "period": "unclassified"},
    ]


def test_offsets_and_fractions_of_an_instant_are_understood() -> None:
    instants = ["2026-07-01T12:00:00+02:00", "2026-07-01T09:59:59.999Z"]
    _, out, _ = run("--schedule", "zj-2026", "--json", *instants)
    assert [item["period"] for item in json.loads(out)] == ["sharp", "peak"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--schedule", "zj-1999", "2026-07-01"], "no schedule zj-1999; there are: zj-2021-general"),
        (["--schedule", "zj-2026", "noon", "2026-13-01", "2026-07-01T25:00Z"], "'2026-07-01T25:00Z' is no instant"),
        (["--schedule", "zj-2026", "2026-07-01T00:00+99:00"], "is no instant"),
        (["--schedule", "zj-2021-large", "--schedule", "zj-2021-general", "2022-01-01"], "are both valid on"),
        (["2026-07-01"], "--schedule"),
        (["--schedule", "zj-2026"], "INSTANT"),
    ],
)
def test_wrong_usage_is_2_and_says_what(arguments: list[str], text: str) -> None:
    code, out, err = run("--json", *arguments)
    assert (code, out) == (2, "")
    assert text in err


def test_plain_lines_come_without_json_and_an_open_holiday_is_told() -> None:
    code, out, err = run("--schedule", "zj-2026", "2027-02-10 08:00")
    assert (code, out) == (0, "2027-02-10 08:00\tzj-2026@1\tunclassified_holiday\n")
    assert "no holiday list" in err


def test_a_month_of_quarter_hours_has_the_hours_of_its_table() -> None:
    tariff = Tariff([schedule("zj-2026")], HOLIDAYS, OFFSET_S)
    start = local("2026-07-01T00:00:00")
    counts: dict[str, int] = {}
    for slot in range(31 * 96):
        period = tariff.classify(start + slot * 900).period
        counts[period] = counts.get(period, 0) + 1
    assert counts == {"valley": 31 * 40, "flat": 31 * 28, "peak": 31 * 12, "sharp": 31 * 16}
