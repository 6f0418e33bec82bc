"""What the tenant gets: the slip with its QR code, and the page that finds a changed digit in a browser, offline."""

from __future__ import annotations

import base64
import json
import random
import re
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import fed_store
import pytest
import zxingcpp
from chromium import in_browser, look
from nacl.signing import SigningKey
from paper_park import Papers, Park

from audit.slip import slip_code
from audit.tenant_proof import Tree, fingerprint
from contract import note
from contract.tree import leaf_hash, root_of, verify_inclusion

DIGITS = 60  # places of the proof file that are changed one by one


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Park:
    return fed_store.make(tmp_path_factory.mktemp("fed") / "store", date(2026, 7, 1), 2)


@pytest.fixture(scope="module")
def slips(park: Park, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    path = tmp_path_factory.mktemp("slips")
    words = ("--common", "shared", "--no-verify", "--slips", str(path / "out"), "--zip", str(path / "z.zip"))
    return Papers(park, 0, 2).report(path, *words), path


def test_a_slip_says_registers_energy_money_and_when_to_look(slips: tuple[dict[str, Any], Path]) -> None:
    made, path = slips
    page = (path / "out" / "slips.html").read_text(encoding="utf-8")
    assert page.count('<section class="slip">') == len(made["tenants"]) == 3
    row = made["tenants"][0]
    span = row["registers"][0]
    for word in (
        span["start"],
        span["end"],
        f"<b>{float(row['energy_kwh']):,.2f}</b>",
        "应收",
        "实收",
        "2026-07-02 24:00",
    ):
        assert word in page
    assert not re.search(r"<script|<link|<img|https?://(?!www\.w3\.org)|url\(", page)
    assert "转供电费码" not in page  # a slip shows no colour
    with zipfile.ZipFile(path / "z.zip") as archive:
        assert {"tenants/slips.html", "tenants/verify.html", "tenants/t-acme.json", "evidence/keys.json"} <= set(
            archive.namelist()
        )


def test_a_proof_holds_nobody_elses_record(slips: tuple[dict[str, Any], Path]) -> None:
    _, path = slips
    proof = json.loads((path / "out" / "t-bolt.json").read_text(encoding="utf-8"))
    records = [json.loads(record) for log in proof["logs"] for record in log["records"]]
    assert len(records) == 48
    assert {record["tenant"] for record in records} == {"t-bolt"}
    assert not re.search("t-acme|t-cord|m-101|m-103", json.dumps(proof))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_own_leaves_and_the_roots_beside_them_give_the_root_of_any_part_of_the_log(size: int) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(13)]
    tree = Tree(leaves)
    assert tree.root(0, size) == root_of(leaves[:size])
    for own in range(size):
        others = tree.others([own], size)
        assert verify_inclusion(leaves[own], own, size, _upward(others, own, size), root_of(leaves[:size]))


def _upward(others: list[bytes], own: int, size: int) -> list[bytes]:
    """Siblings from left to right as an audit path, from the leaf upward."""
    low, high, path, left, right = 0, size, [], 0, len(others)
    while high - low > 1:
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        if own < middle:
            right, high = right - 1, middle
            path.append(others[right])
        else:
            path.append(others[left])
            left, low = left + 1, middle
    return path[::-1]


@pytest.fixture(scope="module")
def seen(slips: tuple[dict[str, Any], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page's answers by name, and how the digits were changed."""
    made, path = slips
    out = path / "out"
    text = (out / "t-acme.json").read_text(encoding="utf-8")
    slip = _slip(made, out)
    seed = random.randrange(2**32)
    changed = [_changed(text, at) for at in random.Random(seed).sample(_places(text), DIGITS)]
    named: dict[str, tuple[str, str]] = {
        "good": (text, slip),
        "no slip": (text, ""),
        "paid more": (text, slip.replace("&a=", "&a=1")),
        "another key": (_with(text, lambda log: log.update(key=base64.b64encode(bytes(32)).decode())), ""),
        "signed by another": (_with(text, _sign_again), ""),
        "left out": (_with(text, lambda log: log["records"].pop(3)), ""),
        "no key": (_with(text, lambda log: log.update(key=None)), ""),
        "no proof": ("[]", ""),
    }
    tries = [*named.values(), *((one, slip) for one in changed)]
    told = look(
        "verify_page.mjs",
        path,
        page=(out / "verify.html").as_uri(),
        slips=(out / "slips.html").as_uri(),
        pdf=str(path / "slips.pdf"),
        tries=[{"text": one, "slip": other} for one, other in tries],
    )
    answers = told["tries"]
    return {**told, "named": dict(zip(named, answers, strict=False)), "changed": answers[len(named) :], "seed": seed}


def _slip(made: dict[str, Any], out: Path) -> str:
    proof = json.loads((out / "t-acme.json").read_text(encoding="utf-8"))
    return slip_code(made, made["tenants"][0], [fingerprint(proof["logs"][0]["key"])], None)


def _places(text: str) -> list[int]:
    """Where digits stand that say something: not how far the park's clock is from UTC, nor a receipt's own base64."""
    spared = [match.span() for match in re.finditer(r'"utc_offset_s":[^\n]*|\\\\u[0-9a-f]{4}', text)]
    return [m.start() for m in re.finditer(r"\d", text) if not any(low <= m.start() < high for low, high in spared)]


def _changed(text: str, at: int) -> str:
    return text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]


def _with(text: str, change: Callable[[dict[str, Any]], Any]) -> str:
    proof = json.loads(text)
    change(proof["logs"][0])
    return json.dumps(proof)


def _sign_again(log: dict[str, Any]) -> None:
    """A checkpoint over changed records, signed by somebody else's key under the gateway's name."""
    checkpoint = note.parse_checkpoint(note.parse_note(log["checkpoint"])[0])
    log["checkpoint"] = note.sign_checkpoint(SigningKey.generate(), checkpoint)


@in_browser
@pytest.mark.slow
def test_the_page_confirms_an_unchanged_statement_offline(seen: dict[str, Any]) -> None:
    good = seen["named"]["good"]
    assert good["verdict"] == "good", good
    assert {name for name, _, _ in good["checks"]} == {
        *("form", "root", "signature", "products", "chain", "sums", "registers", "complete", "slipped")
    }
    assert seen["named"]["no slip"]["verdict"] == "good"
    assert "全部一致" not in seen["en"]
    assert seen["overflow"] == 0
    assert seen["console"] == []
    assert {url.split(":")[0] for url in seen["requests"]} <= {"file", "data"}


@in_browser
@pytest.mark.slow
def test_the_page_finds_any_changed_digit(seen: dict[str, Any]) -> None:
    assert len(seen["changed"]) == DIGITS
    wrong = [n for n, answer in enumerate(seen["changed"]) if answer["verdict"] != "bad"]
    assert not wrong, (seen["seed"], wrong)


@in_browser
@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "verdict", "check"),
    [
        ("paid more", "bad", "slipped"),
        ("another key", "bad", "signature"),
        ("signed by another", "bad", "signature"),
        ("left out", "bad", "root"),
        ("no key", "open", "signature"),
        ("no proof", "bad", "form"),
    ],
)
def test_the_page_names_what_is_wrong(seen: dict[str, Any], what: str, verdict: str, check: str) -> None:
    answer = seen["named"][what]
    assert answer["verdict"] == verdict
    assert next(state for name, state, _ in answer["checks"] if name == check) in ("bad", "open")


@in_browser
@pytest.mark.slow
def test_the_qr_codes_of_the_printed_slips_can_be_read(
    seen: dict[str, Any], slips: tuple[dict[str, Any], Path]
) -> None:
    made, path = slips
    assert len(seen["codes"]) == 3
    for row, code in zip(made["tenants"], seen["codes"], strict=True):
        grey = memoryview(base64.b64decode(code)).cast("B", shape=[600, 600])
        (read,) = zxingcpp.read_barcodes(grey)
        said = parse_qs(read.text.partition("?")[2])
        assert (said["t"], said["k"], said["c"]) == ([row["tenant"]], [row["energy_kwh"]], [row["charged_yuan"]])
    pages = len(re.findall(rb"/Type\s*/Page\b", (path / "slips.pdf").read_bytes()))
    assert pages == 2  # three slips, two a sheet
