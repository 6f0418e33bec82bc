"""All decodings of some bytes, against values packed by the standard library or worked out by hand."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from agent.cli.read_forms import dlt645_forms, modbus_forms


def words(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


@given(st.integers(0, 2**64 - 1))
def test_every_order_of_four_registers_is_the_standard_librarys(number: int) -> None:
    data = number.to_bytes(8, "big")
    shown = modbus_forms(words(data))
    assert shown["u64 big"] == str(number)
    assert shown["i64 big"] == str(struct.unpack(">q", data)[0])
    assert shown["u64 little swap"] == str(struct.unpack("<Q", data)[0])
    assert shown["u32 big"] == str(struct.unpack(">I", data[:4])[0])
    assert shown["u32 little swap"] == str(struct.unpack("<I", data[:4])[0])
    assert shown["u32 big swap"] == str(struct.unpack(">I", data[1::-1] + data[3:1:-1])[0])
    assert shown["u32 little"] == str(struct.unpack(">I", data[2:4] + data[:2])[0])
    assert shown["i16"] == str(struct.unpack(">h", data[:2])[0])


def test_one_register_has_no_long_forms() -> None:
    shown = modbus_forms([0x1234])
    assert shown == {
        "hex": "1234",
        "u16": "4660",
        "u16 swap": "13330",
        "i16": "4660",
        "i16 swap": "13330",
        "bcd16": "1234",
        "bcd16 swap": "3412",
    }


def test_floats_clocks_and_text_are_among_them() -> None:
    assert modbus_forms(words(struct.pack(">f", 43473.16)))["f32 big"] == "43473.16"
    assert modbus_forms(words(struct.pack("<f", -0.5)))["f32 little swap"] == "-0.5"
    assert modbus_forms(words(bytes((26, 7, 25, 10, 0, 3))))["clock3"] == "2026-07-25 10:00:03"
    assert modbus_forms(words(b"SDM1"))["text"] == "SDM1"
    assert modbus_forms(words(bytes.fromhex("7F80 0000")))["hex"] == "7F80 0000"
    assert "f32 big" not in modbus_forms(words(bytes.fromhex("7F80 0000"))), "infinity is no value"


def test_numbers_that_no_display_shows_have_an_exponent() -> None:
    assert modbus_forms(words(struct.pack(">f", 1.5e-38)))["f32 big"] == "1.500000E-38"


def test_bcd_is_shown_at_every_decimal_and_with_its_sign() -> None:
    shown = dlt645_forms(bytes.fromhex("25 05 00 80"))
    assert shown["hex"] == "25 05 00 80"
    assert shown["hex high first"] == "80 00 05 25"
    assert shown["bcd"] == "80000525"
    assert shown["bcd /100"] == "800005.25"
    assert shown["bcd /100 signed"] == "-5.25"
    assert shown["binary"] == str(0x80000525)
    assert not any("signed" in label for label in dlt645_forms(bytes.fromhex("78 56 34 12")))


def test_dates_and_times_are_recognised_by_length_and_content() -> None:
    assert dlt645_forms(bytes.fromhex("03 00 10"))["hhmmss"] == "10:00:03"
    assert dlt645_forms(bytes.fromhex("06 25 07 26"))["YYMMDDWW"] == "2026-07-25"
    assert dlt645_forms(bytes.fromhex("00 10 25 07 26"))["YYMMDDhhmm"] == "2026-07-25 10:00"
    assert dlt645_forms(bytes.fromhex("03 00 10 25 07 26"))["YYMMDDhhmmss"] == "2026-07-25 10:00:03"
    assert "hhmmss" not in dlt645_forms(bytes.fromhex("03 60 10"))
    assert "YYMMDDWW" not in dlt645_forms(bytes.fromhex("06 25 13 26"))


def test_filler_and_long_data_are_bytes_only() -> None:
    assert "bcd" not in dlt645_forms(bytes.fromhex("FF FF FF FF"))
    assert list(dlt645_forms(bytes(20))) == ["hex", "hex high first"]
    assert list(dlt645_forms(b"")) == ["hex", "hex high first"]


@given(st.binary(max_size=12))
def test_any_bytes_are_survived(data: bytes) -> None:
    assert dlt645_forms(data)["hex"] == data.hex(" ").upper()
    if len(data) > 1:
        assert modbus_forms(words(data[: len(data) // 2 * 2]))["hex"] == data[: len(data) // 2 * 2].hex(" ", 2).upper()
