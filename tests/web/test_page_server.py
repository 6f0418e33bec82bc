"""The page over a socket: who is let in, under which headers, what it costs to ask for nonsense."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_snapshot import StillLooker, meter, snapshot

from agent.web import access
from agent.web.access import Access, AccessFault
from agent.web.serve import PageServer

TOKEN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "COST", 2)
    monkeypatch.setattr("agent.web.page.WRONG_PASSWORD_S", 0.0)


def served(access_: Access) -> Iterator[http.client.HTTPConnection]:
    server = PageServer(StillLooker(snapshot([meter(1), meter(2)])), access_)  # type: ignore[arg-type]  # gives looks
    assert server.start(5.0)
    host, port = server.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    yield connection
    connection.close()
    server.stop()


@pytest.fixture
def page() -> Iterator[http.client.HTTPConnection]:
    yield from served(Access("127.0.0.1", 0))


@pytest.fixture
def closed() -> Iterator[http.client.HTTPConnection]:
    yield from served(Access("127.0.0.1", 0, access.stretched("geheim 密"), TOKEN))


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str) -> tuple[int, str, Any]:
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"x:{password}".encode()).decode()


@pytest.mark.parametrize("path", ["/", "/meter/m-0001", "/tenants", "/balance", "/sheet", "/static/hubiao.js", "/none"])
def test_every_answer_forbids_everything_from_elsewhere(page: http.client.HTTPConnection, path: str) -> None:
    status, _, headers = ask(page, path)
    assert status == (404 if path == "/none" else 200)
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(page: http.client.HTTPConnection, method: str) -> None:
    assert ask(page, "/", method)[0] == 405


@pytest.mark.parametrize("path", ["/meter/nobody", "/meter/nobody/day.json", "/static/../page.py", "/static/page.py"])
def test_what_is_not_there_is_not_found(page: http.client.HTTPConnection, path: str) -> None:
    assert ask(page, path)[0] == 404


@pytest.mark.parametrize("day", ["x", "2026-13-01", "2027-01-01", "1969-12-31"])
def test_a_day_that_is_none_is_refused(page: http.client.HTTPConnection, day: str) -> None:
    assert ask(page, f"/meter/m-0001/day.json?day={day}")[0] == 400


def test_a_sheet_of_nonsense_says_what_is_wanted(page: http.client.HTTPConnection) -> None:
    assert "2026-07-14T10:00" in ask(page, "/sheet?at=yesterday&lang=en")[1]
    assert "62 days" in ask(page, "/sheet?from=2026-01-01&to=2026-06-01&lang=en")[1]
    assert ask(page, "/sheet?at=2026-07-14T10:00")[0] == 503  # this snapshot has no store


def test_metrics_name_every_meter_and_line(page: http.client.HTTPConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.web import reads

    monkeypatch.setattr(reads, "kept", lambda _data: reads.Kept(5, 6, 7, 8, (("audit.example", 9, 10),)))
    _, text, headers = ask(page, "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for sample in (
        "hubiao_log_records 12345.0",
        "hubiao_outbox_waiting 45.0",
        'hubiao_meter_up{line="east",meter="m-0001"} 1.0',
        'hubiao_meter_age_seconds{line="west",meter="m-0002"} 20.0',
        'hubiao_line_exchanges_total{line="east",outcome="silent"} 8.0',
        'hubiao_receipt_timestamp_seconds{auditor="audit.example"} 10.0',
        'hubiao_meters{state="gone"} 0.0',
    ):
        assert sample in text.splitlines()


def test_live_values_come_as_events(page: http.client.HTTPConnection) -> None:
    page.request("GET", "/live?lang=en")
    answer = page.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    signs, first, blank, second = (answer.readline().decode() for _ in range(4))
    assert signs == "id: 1\n"
    assert set(json.loads(first.removeprefix("data: "))["meters"]) == {"m-0001", "m-0002"}
    assert blank == "\n"
    assert set(json.loads(second.removeprefix("data: "))) == {"now", "offset"}


@pytest.mark.parametrize(("path", "headers"), [("/live?signs=1", {}), ("/live?signs=0", {"Last-Event-ID": "1"})])
def test_a_page_is_not_told_what_it_shows_already(
    page: http.client.HTTPConnection, path: str, headers: dict[str, str]
) -> None:
    assert ' data-signs="1"' in ask(page, "/")[1]
    page.request("GET", path, headers=headers)
    first = page.getresponse().readline().decode()
    assert set(json.loads(first.removeprefix("data: "))) == {"now", "offset"}


def test_a_page_is_packed_for_who_can_unpack_it(page: http.client.HTTPConnection) -> None:
    plain = ask(page, "/")[1]
    page.request("GET", "/", headers={"Accept-Encoding": "gzip, deflate"})
    answer = page.getresponse()
    packed = answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed).decode() == plain
    assert len(packed) < len(plain) / 2


def test_the_language_is_the_querys_then_the_cookies_then_the_browsers(page: http.client.HTTPConnection) -> None:
    assert '<html lang="zh-CN">' in ask(page, "/")[1]
    assert '<html lang="en">' in ask(page, "/", **{"Accept-Language": "en-GB,zh;q=0.5"})[1]
    _, body, headers = ask(page, "/?lang=en")
    assert '<html lang="en">' in body
    assert '<html lang="en">' in ask(page, "/", Cookie=headers["Set-Cookie"].split(";")[0])[1]


def test_an_open_page_answers_under_loopbacks_names_only(page: http.client.HTTPConnection) -> None:
    for name in ("localhost:8080", "127.0.0.1", "[::1]:8080"):
        assert ask(page, "/", Host=name)[0] == 200
    for name in ("evil.example", "127.0.0.1.evil.example:80", ""):
        assert ask(page, "/", Host=name)[0] == 421


def test_a_closed_page_lets_in_who_knows_the_password_or_the_token(closed: http.client.HTTPConnection) -> None:
    status, _, headers = ask(closed, "/")
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Basic ")
    for wrong in (basic("geheim"), basic(""), "Basic %%%", "Bearer x", f"Digest {TOKEN}", basic(TOKEN[:-1])):
        assert ask(closed, "/", Authorization=wrong)[0] == 401
    for right in (basic("geheim 密"), basic("geheim 密"), basic(TOKEN), f"Bearer {TOKEN}"):
        assert ask(closed, "/static/hubiao.css", Authorization=right, Host="gateway.lan")[0] == 200


def test_a_password_that_was_right_is_not_stretched_again(
    closed: http.client.HTTPConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(closed, "/", Authorization=basic("geheim 密"))[0] == 200
    monkeypatch.setattr(access, "_scrypt", lambda *_: pytest.fail("stretched again"))
    assert ask(closed, "/", Authorization=basic("geheim 密"))[0] == 200


def test_a_port_that_is_taken_is_no_end_of_the_agent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = PageServer(StillLooker(snapshot([])), Access("127.0.0.1", taken.getsockname()[1]))  # type: ignore[arg-type]
        assert not server.start(0.3)
        server.stop()
    assert server.address == ""


def test_beyond_loopback_there_is_no_page_without_a_secret(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::"):
        with pytest.raises(AccessFault, match="not loopback"):
            Access(host, 8080)
    assert Access("0.0.0.0", 8080, token=TOKEN).closed
    for text, why in (("", "empty"), ("\n", "empty"), ("short\n", "at least 16")):
        (tmp_path / "token").write_text(text)
        with pytest.raises(AccessFault, match=why):
            Access.of({"listen": "127.0.0.1:1", "token_file": str(tmp_path / "token")})
    with pytest.raises(AccessFault, match="No such file"):
        Access.of({"listen": "127.0.0.1:1", "password_file": str(tmp_path / "absent")})


def test_a_file_may_hold_the_password_or_its_hash(tmp_path: Path) -> None:
    name = tmp_path / "password"
    for kept in ("geheim", access.stretched("geheim")):
        name.write_text(kept + "\n")
        made = Access.of({"listen": "[::1]:8080", "password_file": str(name), "token_file": None})
        assert (made.host, made.port) == ("::1", 8080)
        assert made.admits(basic("geheim"))
        assert not made.admits(basic(kept) if kept != "geheim" else basic("x"))
        assert "geheim" not in repr(made)
    name.write_text("scrypt$broken\n")
    with pytest.raises(AccessFault, match="no scrypt line"):
        Access.of({"listen": "127.0.0.1:1", "password_file": str(name)})
