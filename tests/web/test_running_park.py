"""The pages of a running agent, asked for without a browser: what they say is what the store says."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from shown_park import Shown, shown

from agent.evidence.reader import Reader
from agent.ledger.history import History
from agent.web import reads


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Shown]]:
    """An hour and a half, then nearly standing still."""
    with shown(tmp_path_factory.mktemp("data"), warm_s=5490.0, limit_s=60) as (url, running):
        yield url, running


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def texts(page: str, table: str) -> list[list[str]]:
    body = re.search(rf'<table[^>]* id="{table}".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert body is not None
    rows = re.findall(r"<tr.*?</tr>", body[1], re.DOTALL)
    return [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in rows]


def test_the_register_on_the_page_is_the_one_in_the_store(park: tuple[str, Shown]) -> None:
    url, running = park
    rows = {row[1]: row for row in texts(get(f"{url}/?lang=zh"), "meters")}
    assert len(rows) == 15
    assert {row[0] for row in rows.values()} == {"正常"}
    history = History(Reader(Path(running.config["private"]["data"])))
    slot_s = history.plan.slot_floor(running.clock.wall_ms() // 1000)
    known = history.known([slot_s], []).values
    for meter, row in rows.items():
        register = "export" if meter == "m-290" else "import"
        assert row[5] == f"{known[meter, slot_s].registers[register]:f}"
    history.reader.close()


def test_the_sheet_on_the_page_has_the_same_registers(park: tuple[str, Shown]) -> None:
    url, _ = park
    now = {row[1]: row[5] for row in texts(get(f"{url}/"), "meters")}
    sheet = texts(get(f"{url}/sheet?at=2026-07-15T07:30"), "sheet")
    assert {row[2]: row[4] for row in sheet} == now
    between = texts(get(f"{url}/sheet?from=2026-07-15T06:00&to=2026-07-15T07:30"), "sheet")
    assert len(between) == 15
    assert {row[-1] for row in between} == {"实测"}


def test_tenants_and_balance_are_there_today_and_over_the_period(park: tuple[str, Shown]) -> None:
    url, _ = park
    today = texts(get(f"{url}/tenants?span=today"), "tenants")
    period = texts(get(f"{url}/tenants?span=period"), "tenants")
    assert len(today) == 15
    assert today == period  # there is no day before this one
    assert "1.5 of 7.5 hours are balanced" in get(f"{url}/balance?lang=en")
    assert "nothing yet" in get(f"{url}/tenants?span=yesterday&lang=en")


def test_a_meters_day_has_its_steps_and_its_neighbours(park: tuple[str, Shown]) -> None:
    url, _ = park
    day = json.loads(get(f"{url}/meter/m-101/day.json"))
    known = [kw for kw in day["own"] if kw is not None]
    assert len(known) == 6
    assert len([part for part in day["like"] if part is not None]) == 6
    assert sum(part for part in day["like"] if part is not None) == pytest.approx(sum(known))
    assert texts(get(f"{url}/meter/m-101"), "neighbours")[0][0] == "m-101"
    assert "m-101" in get(f"{url}/meter/m-101?day=2026-07-01")  # from the store, which has nothing of it


def test_the_gateway_and_its_metrics_tell_outbox_clock_and_disk(park: tuple[str, Shown]) -> None:
    url, _ = park
    page = get(f"{url}/gateway?lang=en")
    for word in ("connected", "records waiting", "synchronised", "±5 ms", "iB", " MB a month", "no auditor is pinned"):
        assert word in page
    samples = dict(line.rsplit(" ", 1) for line in get(f"{url}/metrics").splitlines() if not line.startswith("#"))
    assert float(samples["hubiao_outbox_waiting"]) == 0
    assert float(samples["hubiao_disk_used_bytes"]) > 10_000
    assert float(samples["hubiao_outbox_sent_bytes_total"]) > 10_000
    assert float(samples['hubiao_line_sweep_seconds{line="east"}']) > 1
    for work in ("slot", "watch"):
        assert float(samples[f'hubiao_line_work_seconds_total{{line="east",work="{work}"}}']) > 1
    assert sum(float(value) for name, value in samples.items() if name.startswith("hubiao_meter_up")) == 15


def test_no_page_names_a_secret_or_a_place_on_the_disk(park: tuple[str, Shown]) -> None:
    url, running = park
    for path in ("/", "/tenants", "/balance", "/gateway", "/sheet?at=2026-07-15T07:00", "/meter/m-101", "/metrics"):
        page = get(url + path)
        assert running.config["private"]["data"] not in page
        assert "password" not in page


def test_a_reading_that_takes_too_long_says_what_to_do_instead(
    park: tuple[str, Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = park
    monkeypatch.setattr(reads.BoundedReader.__init__, "__defaults__", (-1.0,))
    assert "use hubiao sheet" in get(f"{url}/sheet?at=2026-07-15T07:00&lang=en")
