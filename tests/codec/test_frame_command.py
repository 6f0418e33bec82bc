"""`hubiao frame`: every published frame as published, what people paste, and nothing but the truth about Modbus."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import cli
from agent.cli.words import set_language
from drivers.describe import describe
from drivers.dlt645.frame import Frame

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "dlt645-vectors.json").read_text())
FIELDS = ["protocol", "edition", "direction", "address", "control", "error", "length", "di", "name", "values"]
MODBUS_FIELDS = ["protocol", "unit", "function", "direction", "address", "count", "data", "exception"]


@pytest.fixture(autouse=True)
def _language() -> None:
    set_language("en")


def frame(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["frame", *arguments], input=given)


def decoded(*arguments: str, given: str | bytes | None = None) -> list[dict[str, Any]]:
    result = frame("--json", *arguments, given=given)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda vector: vector["id"])
def test_a_published_frame_is_decoded_as_published(vector: dict[str, Any]) -> None:
    [one] = decoded("FE " * vector["preamble_fe"] + vector["hex"])
    assert list(one) == FIELDS
    said = vector["decoded"]
    assert one["protocol"] == "dlt645"
    for field in ("edition", "direction", "address", "control", "length"):
        assert one[field] == vector[field], field
    assert one["error"] == said.get("err")
    assert one["di"] == said.get("di")
    if "value" in said:
        expected = said["value"] if isinstance(said["value"], list) else [said["value"]]
        assert [value["value"] for value in one["values"]] == expected
        assert {value["unit"] for value in one["values"]} == {said.get("unit", "")}
        assert all(value["name"] for value in one["values"])
    elif vector["id"] != "s54":
        assert one["values"] == []


def test_the_english_names_of_published_replies_are_the_field_s_words() -> None:
    for vector in GOLDEN["vectors"]:
        if vector["direction"] == "reply" and isinstance(vector["decoded"].get("value"), str | None):
            [one] = describe(bytes.fromhex(vector["hex"]))
            if one["di"]:
                assert one["name"] == vector["decoded"]["meaning"]


def test_digits_that_are_no_bcd_give_null_and_the_bytes() -> None:
    [vector] = [vector for vector in GOLDEN["vectors"] if vector["id"] == "s34"]
    [one] = decoded(vector["hex"])
    assert one["values"] == [{"name": "import", "value": None, "unit": "kWh", "invalid": "00000E00"}]


def test_a_speed_of_two_bits_is_no_speed() -> None:
    [vector] = [vector for vector in GOLDEN["vectors"] if vector["id"] == "s54"]
    [one] = decoded(vector["hex"])
    assert one["values"] == [{"name": "speed", "value": None, "unit": "Bd", "invalid": "D5"}]


def test_a_frame_behind_a_serial_server_s_bytes_is_found() -> None:
    [stream] = GOLDEN["streams"]
    [one] = decoded(stream["hex"])
    assert one["address"] == stream["expect"]["address"]
    assert one["di"] == stream["expect"]["di"]
    assert [value["value"] for value in one["values"]] == [stream["expect"]["value"]]


def test_a_published_frame_with_a_wrong_checksum_is_skipped() -> None:
    [bad] = GOLDEN["bad_frames"]
    assert decoded(bad["hex"]) == []


def test_all_frames_of_all_arguments_come_in_order() -> None:
    vectors = GOLDEN["vectors"]
    glued = "".join(vector["hex"] for vector in vectors[:20])
    found = decoded(glued, *(vector["hex"] for vector in vectors[20:]))
    assert [one["address"] for one in found] == [vector["address"] for vector in vectors]


@pytest.mark.parametrize(
    "pasted",
    [
        "68AAAAAAAAAAAA681300DF16",
        "68 aa aa aa aa aa aa 68 13 00 df 16",
        "68:AA:AA:AA:AA:AA:AA:68:13:00:DF:16",
        "68-AA-AA-AA-AA-AA-AA-68-13-00-DF-16",
        "0x68, 0xAA, 0xaa, 0xAA, 0XAA, 0xAA, 0xAA, 0x68, 0x13, 0x0, 0xDF, 0x16",
        "0x68AAAAAAAAAAAA681300DF16",
        "FE FE FE FE\t68 AAAAAA AAAAAA\n68 13 00 DF 16 FF",
    ],
)
def test_hex_is_taken_as_people_paste_it(pasted: str) -> None:
    for found in (decoded(pasted), decoded("-", given=pasted)):
        assert [(one["address"], one["control"]) for one in found] == [("A" * 12, "13")]


def test_bytes_given_one_an_argument_are_one_frame() -> None:
    one_by_one = "68 AA AA AA AA AA AA 68 13 00 DF 16"
    assert [one["control"] for one in decoded(*one_by_one.split(" "))] == ["13"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["68AA", "68A"], "argument 2 '68A': 3 hex digits"),
        (["6G00"], "argument 1 '6G00': 'G' is not hex"),
        ([], "Missing argument"),
    ],
)
def test_what_is_no_hex_is_wrong_usage_and_names_the_argument(arguments: list[str], complaint: str) -> None:
    result = frame("--json", *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


def test_bad_standard_input_names_its_line() -> None:
    result = frame("-", given=b"6800\n\xff\xfe")
    assert result.exit_code == 2
    assert "standard input, line 2" in result.stderr


# Modbus: request and reply of the specification's own examples, CRC by the published algorithm
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        # MODBUS over serial line: the request every page computes, slave 1, 10 registers from 0
        ("01 03 00 00 00 0A C5 CD", {"unit": 1, "function": 3, "direction": "request", "address": 0, "count": 10}),
        # Eastron SDM manual: voltage as float 230.2
        ("01 04 04 43 66 33 34 1B 38", {"direction": "reply", "count": 2, "data": "43663334"}),
        ("01 83 02 C0 F1", {"function": 3, "direction": "reply", "exception": 2, "count": None, "data": None}),
        ("11 06 00 01 00 03 9A 9B", {"unit": 17, "direction": None, "address": 1, "data": "0003"}),
    ],
)
def test_a_modbus_frame_is_described_when_it_is_all_there_is(raw: str, expected: dict[str, Any]) -> None:
    [one] = decoded(raw)
    assert list(one) == MODBUS_FIELDS
    assert one["protocol"] == "modbus-rtu"
    assert {key: one[key] for key in expected} == expected
    assert decoded("00" + raw) == []


def test_a_modbus_reply_that_could_be_a_request_has_no_direction() -> None:
    # function 1, eight bytes: 3 bytes of coils, or 0x0000 + count at address 0x03xx
    body = bytes.fromhex("01 01 03 00 00 08")
    [one] = describe(body + crc_by_the_book(body))
    assert one["direction"] is None
    assert one["address"] is None


def crc_by_the_book(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


@given(st.binary(max_size=64))
def test_any_bytes_are_described_or_skipped(data: bytes) -> None:
    json.dumps(describe(data))
    json.dumps(describe(data + crc_by_the_book(data)))


@given(
    st.integers(0, 255),
    st.binary(max_size=80) | st.sampled_from([b"\x00\xff\x01\x00", b"\x01\x00\x01\x06", b"\x1f\x90"]),
)
def test_any_valid_frame_is_described(control: int, data: bytes) -> None:
    [one] = describe(Frame("000000000161", control, data).raw)
    json.dumps(one)
    assert one["length"] == len(data)


@pytest.mark.parametrize(
    ("control", "data", "edition"),
    [
        (0x03, "", "1997"),
        (0x83, "01 00 00 07 00", "2007"),
        (0x83, "10 90 00 00 00 00", "1997"),
        (0x83, "", None),
        (0xC3, "01 00", "2007"),
        (0xC3, "01", None),
        (0x00, "", None),
        (0x9F, "", None),
        (0xA1, "10 90", "1997"),
        (0xB2, "00 00 01 00 01", "2007"),
    ],
)
def test_the_edition_is_told_by_function_and_content_or_not(control: int, data: str, edition: str | None) -> None:
    [one] = describe(Frame("000000000161", control, bytes.fromhex(data)).raw)
    assert one["edition"] == edition


def test_a_part_of_a_longer_answer_stays_bytes() -> None:
    data = bytes.fromhex("00 00 01 00 26 00 00 00 01")
    [one] = describe(Frame("000000000161", 0xB2, data).raw)
    assert one["values"] == [{"name": "part", "value": "26000000", "unit": ""}]


def test_the_table_speaks_chinese_and_english() -> None:
    arguments = ["frame", GOLDEN["vectors"][3]["hex"], GOLDEN["vectors"][13]["hex"]]
    chinese = CliRunner().invoke(cli, ["--lang", "zh", *arguments])
    english = CliRunner().invoke(cli, ["--lang", "en", *arguments])
    assert "正向有功电能,总" in chinese.stdout
    assert "无请求数据" in chinese.stdout
    assert "forward active energy, total" in english.stdout
    assert "no such data" in english.stdout
    assert "0.15 kWh" in chinese.stdout
    assert "0.15 kWh" in english.stdout


def test_the_installed_command_decodes_on_a_gbk_or_c_terminal() -> None:
    command = [str(Path(sys.executable).with_name("hubiao")), "--lang", "zh", "frame", GOLDEN["vectors"][3]["hex"]]
    for encoding in ("gbk", "ascii"):
        ran = subprocess.run(command, capture_output=True, env={"PYTHONIOENCODING": encoding, "PATH": ""}, check=True)
        assert b"0.15 kWh" in ran.stdout
    as_json = subprocess.run([*command, "--json"], capture_output=True, check=True)
    assert json.loads(as_json.stdout)[0]["values"][0]["value"] == "0.15"
