"""The status page in Chromium: live values, a dying meter, search, languages, a phone, a thousand meters, no leak."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from made_snapshot import StillLooker, thousand
from shown_park import HOUR_MS, shown

from agent.web.access import Access
from agent.web.frame import Asked
from agent.web.park import Sparks, park_page
from agent.web.serve import PageServer
from simulators.faults import Fault

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NODE = shutil.which("node")
CACHE = Path(os.environ.get("HUBIAO_TEST_TOOLS") or Path.home() / ".cache" / "hubiao-tests")
SHOTS = os.environ.get("HUBIAO_SHOTS")  # a directory: keep screenshots there, of a park that has run for a day
SCRIPT = Path(__file__).with_name("browser.mjs")
DYING = "m-103"

missing = [name for name, found in (("chromium", CHROMIUM), ("node", NODE)) if not found]
if not (CACHE / "node_modules" / "playwright-core").is_dir():
    missing.append(f"playwright-core in {CACHE}")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),  # a machine with other work; alone it takes a tenth of that
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (sh tests/setup-tools.sh)"),
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser saw, as browser.mjs tells it."""
    warm_h = 30.0 if SHOTS else 0.75
    dies_ms = round((warm_h + 0.3) * HOUR_MS)
    large = PageServer(StillLooker(thousand()), Access("127.0.0.1", 0))  # type: ignore[arg-type]  # gives the same looks
    assert large.start(5.0)
    faults = [Fault("silent", DYING, dies_ms)]
    with shown(tmp_path_factory.mktemp("data"), faults, warm_s=warm_h * 3600, limit_s=120) as (url, park):
        given = {
            "playwright": str(CACHE),
            "chromium": CHROMIUM,
            "url": url,
            "large": large.address,
            "dying": DYING,
            "shots": SHOTS,
        }
        with subprocess.Popen(
            [str(NODE), str(SCRIPT), json.dumps(given)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            too_late = threading.Timer(200, process.kill)
            too_late.start()
            assert process.stdout.readline() == "looking\n", process.communicate()
            park.go.set()
            told, complaint = process.communicate()
            too_late.cancel()
    large.stop()
    assert process.returncode == 0, complaint
    result: dict[str, Any] = json.loads(told)
    return result


def test_a_value_on_the_screen_changes_by_itself(seen: dict[str, Any]) -> None:
    before, after = seen["before"], seen["after"]
    assert float(after["value"]) > float(before["value"])
    assert after["now"] > before["now"]
    assert seen["path_before"] != seen["path_after"]


def test_a_dying_meter_turns_without_a_reload(seen: dict[str, Any]) -> None:
    assert seen["dying"][0] == "ok"
    assert seen["dying"][-1] == "gone"
    assert seen["dying_text"] == "失联 · 无应答"
    assert "1 失联" in seen["summary"]


def test_search_finds_tenants_and_rooms_as_one_types(seen: dict[str, Any]) -> None:
    assert seen["search_tenant"] == ["m-m-201"]
    assert seen["search_url"] == "?lang=zh&q=霜降"
    assert seen["search_room"] == ["m-m-301", "m-m-302", "m-m-303"]
    assert seen["search_none"] == [[], True]
    assert seen["only_bad"] == [f"m-{DYING}"]


def test_the_page_speaks_both_languages_and_remembers_which(seen: dict[str, Any]) -> None:
    assert seen["title_zh"].startswith("园区")
    assert seen["lang_en"] == seen["kept_en"] == "en"
    for word in ("Reading sheet", "meters ok", "last 24 h", "measured", "answering"):
        assert word in seen["english"]
    assert "正常" not in seen["english"]


def test_a_phone_gets_cards_and_never_scrolls_sideways(seen: dict[str, Any]) -> None:
    assert set(seen["phone"].values()) == {0}
    assert seen["phone_head"] is False
    assert len(seen["phone_rows"]) == 15
    assert min(seen["phone_rows"]) > 350
    assert seen["overflow_wide"] == 0
    hidden, height = seen["phone_nav"]
    assert hidden <= 0
    assert height < 50  # every page's name in one row, in English too
    assert len(seen["phone_sheet"]) == 15
    assert max(seen["phone_sheet"]) < 45  # no cell is written letter by letter from top to bottom


def test_a_thousand_meters_cost_less_than_a_second_until_painted(seen: dict[str, Any]) -> None:
    """Of processor time, the page's thread and the browser's: what a neighbour on the machine takes is not counted."""
    assert [look["rows"] for look in seen["large"]] == [1000] * 3
    snapshot, sparks = thousand(), Sparks()
    began = time.thread_time()
    park_page(snapshot, Asked("zh", "/"), sparks)
    served_ms = (time.thread_time() - began) * 1000
    assert min(look["busy_ms"] for look in seen["large"]) + served_ms < 700, (served_ms, seen["large"])
    assert seen["filtered"] == 1
    assert seen["filter_ms"] < 2000


def test_every_page_is_whole_without_a_script(seen: dict[str, Any]) -> None:
    assert seen["bare_sparks"] == 15
    assert seen["bare_search"] == 1
    assert seen["bare_chart"] == 1


def test_the_other_pages_show_their_tables_and_uplot_draws_the_day(seen: dict[str, Any]) -> None:
    width, height, colours = seen["canvas"]
    assert width > 300
    assert height > 100
    assert colours > 2
    assert seen["tenants"] >= 12
    assert seen["balance"] >= 1
    assert seen["sheet"] == 15


def test_no_request_leaves_the_host_and_nothing_is_refused(seen: dict[str, Any]) -> None:
    asked = {urlsplit(url).hostname for url in seen["requests"] if url != "about:blank"}
    assert len(seen["requests"]) > 30
    assert asked == {"127.0.0.1"}
    assert seen["console"] == []  # a Content-Security-Policy that something breaks is an error there
    assert seen["status"] == []
