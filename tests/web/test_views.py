"""The pages' views from snapshots made by hand: no agent, no browser."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from made_snapshot import NOW_S, STEP_S, line, meter, snapshot, values

from agent.web import energy
from agent.web.day import day_document, day_of, day_page
from agent.web.drawing import nice_top, path
from agent.web.frame import Asked, age
from agent.web.gateway import gateway_page
from agent.web.html import Html, el, say_in
from agent.web.live import Stream
from agent.web.park import Sparks, park_page
from agent.web.reads import Kept, Totals
from agent.web.snapshot import Snapshot
from contract.energy import SlotValue
from contract.records import Balance, Flow

ZH, EN = Asked("zh", "/"), Asked("en", "/")


def park(shown: Snapshot, asked: Asked = ZH) -> Html:
    return park_page(shown, asked, Sparks())


def ids(page: str) -> list[str]:
    return re.findall(r'<tr id="(m-[^"]+)"', page)


def test_a_text_is_escaped_wherever_it_stands_and_markup_is_not() -> None:
    made = el("p", "<b>&", el("i", 'a"b'), title='"><script>', data_x_y=1, hidden=False, open=True)
    assert made == ('<p title="&quot;&gt;&lt;script&gt;" data-x-y="1" open>&lt;b&gt;&amp;<i>a&quot;b</i></p>')


def test_a_name_from_the_configuration_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>"
    page = park(snapshot([meter(1, room=evil, tenants=(evil,))], title=evil))
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 4


def test_the_gateway_says_traffic_and_disk_in_words_that_fit() -> None:
    kept = Kept(bytes=2_202_009, free_bytes=79_513_518_080, room_days=124_283, aside=0, receipts=())
    page = gateway_page(snapshot([meter(1)]), EN, kept)
    for words in ("12.3 MB in 1.0 days", "foreseen 35.8 MB a month", "2.1 MiB", "74.1 GiB", "more than ten years"):
        assert words in page
    compressed = gateway_page(replace(snapshot([meter(1)]), compressed=True), EN, kept)
    assert "connected, compressed" in compressed
    assert "12.3 MB before compression in 1.0 days" in compressed
    assert "about 40 days" in gateway_page(snapshot([meter(1)]), EN, replace(kept, room_days=40))


def test_no_page_holds_a_style_a_script_or_an_address_of_elsewhere() -> None:
    shown = snapshot([meter(1), meter(3)])
    today_s = shown.plan.day_of(shown.now_s)[0]
    first = shown.meters["m-0001"]
    span = energy.span_of(shown, "today")
    for page in (
        park(shown),
        day_page(shown, ZH, first, day_of(shown, first, today_s, None)),
        energy.tenants_page(shown, ZH, span, {("t-1", None): {"flat": Decimal(3)}}, {}),
        energy.balance_page(shown, ZH, span, []),
        energy.sheet_page(shown, ZH, []),
    ):
        assert not re.search(r"<style|style=|\son\w+=|https?://|javascript:", page)
        assert all(source.startswith("/static/") for source in re.findall(r'src="([^"]+)"', page))
        assert re.findall(r"<script[^>]*>([^<]+)", page) == []


def test_the_park_tells_state_value_power_quality_age_and_sparkline() -> None:
    page = park(snapshot([meter(1), meter(2, state="gone", why="timeout", silent=4, seen_s=NOW_S - 7200, kw=None)]))
    first, second = re.findall(r"<tr id=.*?</tr>", page)
    assert all(text in first for text in ("正常", "1001", "40.00", "实测", "20 秒", '<path d="M2 '))
    assert 'data-state="gone"' in second
    assert all(text in second for text in ("失联 · 无应答", "2 小时", "–"))
    assert "1 块表正常 · 1 失联 · 45 条待送" in page
    english = park(snapshot([meter(1)]), EN)
    assert "1 meters ok · 45 records waiting" in english
    assert "实测" not in english


def test_search_looks_in_meter_room_tenant_and_line_on_the_server_too() -> None:
    shown = snapshot([meter(1), meter(2, tenants=("霜降冷链",)), meter(3, room="B-3")])
    assert ids(park(shown, Asked("zh", "/", (("q", "霜降"),)))) == ["m-m-0002"]
    assert ids(park(shown, Asked("zh", "/", (("q", "b-3"),)))) == ["m-m-0003"]
    assert ids(park(shown, Asked("zh", "/", (("q", "EAST"),)))) == ["m-m-0001", "m-m-0003"]
    nobody = park(shown, Asked("zh", "/", (("q", "nobody"),)))
    assert ids(nobody) == []
    assert 'id="none" class="none">' in nobody


def test_only_what_is_wrong_comes_with_the_worst_first() -> None:
    shown = snapshot([meter(1, state="silent"), meter(2), meter(3, state="gone"), meter(4, state="manual")])
    assert ids(park(shown, Asked("zh", "/", (("only", "bad"),)))) == ["m-m-0003", "m-m-0001"]


def test_a_lost_port_is_said_with_its_time_and_airtime_is_a_part_of_the_whole() -> None:
    down = line("east", down_since_s=NOW_S - 600, is_open=False, busy_s=9999.0)
    page = park(snapshot([meter(1)], lines={"east": down}), EN)
    assert 'data-bad="1"' in page
    assert "gone since 07-15 08:20" in page
    assert "airtime 100.0%" in page


def test_power_is_the_registers_growth_with_the_multiplier_and_never_negative() -> None:
    known = {NOW_S - STEP_S: SlotValue({"import": Decimal("10.00")}, "measured", 1)}
    after = {NOW_S: SlotValue({"import": Decimal("10.25")}, "measured", 2)}
    assert meter(1, values=known | after).kw_at(NOW_S, STEP_S) == Decimal("40")
    fallen = {NOW_S: SlotValue({"import": Decimal("9.99")}, "measured", 2)}
    assert meter(1, values=known | fallen).kw_at(NOW_S, STEP_S) is None
    assert meter(1, values=after).kw_at(NOW_S, STEP_S) is None


def test_a_curve_is_broken_where_nothing_is_known() -> None:
    assert path([1.0, None, 2.0, 0.0], 90, 20) == "M0 10M60 1L90 19"
    assert path([None, None], 90, 20) == ""
    assert path([0.0, 0.0], 90, 20) == "M0 19L90 19"


@pytest.mark.parametrize(("highest", "top"), [(0, 1), (0.03, 0.04), (1, 1), (6.2, 8), (99, 100), (141, 200)])
def test_an_axis_ends_at_a_round_number(highest: float, top: float) -> None:
    assert nice_top(highest) == pytest.approx(top)


def test_the_neighbours_shape_has_this_meters_energy() -> None:
    shown = snapshot([meter(n) for n in (1, 3, 5)] + [meter(2)])
    first = shown.meters["m-0001"]
    day = day_of(shown, first, shown.plan.day_of(shown.now_s)[0], None)
    assert set(day.others) == {"m-0003", "m-0005"}  # of the same line and role
    own = sum(float(kw) for kw in day.own if kw is not None)
    assert sum(part for part in day.like() if part is not None) == pytest.approx(own)
    told = day_document(shown, day)
    assert len(told["at"]) == len(told["own"]) == len(told["like"]) == 96  # type: ignore[arg-type]
    assert str(told["own"]).count("None") == 96 - 34  # 08:30: so many steps are over


def test_a_meter_without_neighbours_has_a_day_too() -> None:
    shown = snapshot([meter(1)])
    first = shown.meters["m-0001"]
    page = day_page(shown, EN, first, day_of(shown, first, shown.plan.day_of(shown.now_s)[0], None))
    assert "m-0001" in page
    assert '<path d="" class="like">' in page


def test_live_values_tell_everything_once_and_then_what_changed() -> None:
    shown = snapshot([meter(1), meter(2)])
    stream = Stream("en", Sparks())
    assert set(stream.message(shown)["meters"]) == {"m-0001", "m-0002"}
    assert not stream.is_stale(shown.signs)
    grown = meter(2, value=Decimal("2000.5"), seen_s=NOW_S + 880, values=values(2) | values(3))
    later = replace(shown, meters={**shown.meters, "m-0002": grown}, signs="2")
    assert stream.is_stale(later.signs)
    message = stream.message(later)
    assert set(message["meters"]) == {"m-0002"}
    assert message["meters"]["m-0002"][:3] == ["ok", "ok", "2000.5"]
    assert message["lines"] == {}


def test_tenants_are_summed_by_period_with_what_is_missing() -> None:
    shown = snapshot([meter(1)])
    span = energy.span_of(shown, "today")
    sums = {("t-1", None): {"peak": Decimal("1.25"), "flat": Decimal("2")}, (None, "p-0001"): {"flat": Decimal("9")}}
    page = energy.tenants_page(shown, ZH, span, sums, {("t-1", None): 3})
    rows = [re.sub("<[^>]+>", "|", row) for row in re.findall(r"<tr>.*?</tr>", page)]
    assert [cell for cell in rows[1].split("|") if cell] == ["甲 &amp; 乙", "1.25", "2.00", "3.25", "3"]
    assert [cell for cell in rows[3].split("|") if cell] == ["租户合计", "1.25", "2.00", "3.25"]


def test_a_balance_adds_up_and_says_how_much_it_covers() -> None:
    shown = snapshot([meter(1)])
    flow = Flow(*map(Decimal, ("100", "0", "10", "-2", "104", "4")))
    step = Balance("2026-07-15T00:00:00Z", "2026-07-15T00:15:00Z", {"flat": flow}, None, Decimal(0), "measured")
    page = energy.balance_page(shown, EN, energy.span_of(shown, "today"), [step, step])
    assert "200.00" in page
    assert '<b id="rate">3.70%</b>' in page
    assert "0.5 of 8.5 hours are balanced" in page
    titles = re.findall(r'<th class="num" scope="col">([^<]+)', page)
    assert titles == ["import", "PV", "storage", "points", "loss"]  # nothing was exported


def test_days_before_today_are_added_to_todays_intervals() -> None:
    assert energy.with_days({("t", None): {"flat": Decimal(1)}}, Totals()) == {("t", None): {"flat": Decimal(1)}}


@pytest.mark.parametrize(("seconds", "text"), [(None, "–"), (-3, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h")])
def test_ages_are_one_unit(seconds: int | None, text: str) -> None:
    assert age(seconds, say_in("en")) == text
