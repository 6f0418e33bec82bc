"""Identifiers, formats and load records: published values, round trips, blocks, fillers, layouts of the reference."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.dlt645 import table_1997, table_2007
from drivers.dlt645.formats import Ascii, Bcd, Bits, Digits, Moment, Speed, bcd
from drivers.dlt645.identifiers import (
    decode_1997,
    decode_2007,
    encode,
    is_absent,
    lookup,
    lookup_1997,
    lookup_2007,
    wire,
)
from drivers.dlt645.load_record import CLASSES, build, parse
from drivers.quantities import RegisterValue, is_billing


def said(values: list[RegisterValue]) -> dict[str, str | None]:
    return {value.name: None if value.value is None else str(value.value) for value in values}


# formats


@given(st.integers(1, 6), st.integers(0, 6), st.booleans(), st.data())
def test_a_number_is_read_back_with_the_digits_it_was_written_with(
    length: int, decimals: int, signed: bool, data: st.DataObject
) -> None:
    assume(decimals <= 2 * length)
    top = (8 if signed else 10) * 10 ** (2 * length - 1) - 1
    number = data.draw(st.integers(-top if signed else 0, top))
    form = Bcd(length, decimals, signed)
    value = Decimal(number).scaleb(-decimals)
    written = form.encode(value)
    assume(written != b"\xff" * length)
    read = form.decode(written)
    assert read == value
    assert read is not None
    assert read.as_tuple().exponent == -decimals
    assert not (read.is_signed() and not read)


@given(st.integers(1, 6), st.integers(0, 4), st.booleans(), st.data())
def test_bytes_are_a_number_only_if_every_nibble_is_a_digit(
    length: int, decimals: int, signed: bool, data: st.DataObject
) -> None:
    raw = data.draw(st.binary(min_size=length, max_size=length))
    value = Bcd(length, decimals, signed).decode(raw)
    unsigned = raw[:-1] + bytes((raw[-1] & 0x7F if signed else raw[-1],))
    if raw == b"\xff" * length or any(byte & 0xF > 9 or byte >> 4 > 9 for byte in unsigned):
        assert value is None
    else:
        assert value is not None
        assert Bcd(length, decimals, signed).encode(value)[:-1] == raw[:-1]


@pytest.mark.parametrize(
    ("value", "digits", "decimals", "signed"),
    [
        (Decimal("1000000.00"), 8, 2, False),
        (Decimal("-0.01"), 8, 2, False),
        (Decimal("800000.00"), 8, 2, True),
        (Decimal("0.001"), 8, 2, False),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_writing(
    value: Decimal, digits: int, decimals: int, signed: bool
) -> None:
    with pytest.raises(ValueError):
        bcd(value, digits, decimals, signed)


def test_the_sign_is_the_top_bit_of_the_last_byte_of_signed_items_only() -> None:
    # -5.25 kWh of combined energy; a forward register past 800000 must not turn negative (reference §3)
    assert said(decode_2007("00000000", bytes.fromhex("25 05 00 80"))) == {"combined": "-5.25"}
    assert said(decode_2007("00010000", bytes.fromhex("00 00 00 80"))) == {"import": "800000.00"}


@given(st.datetimes(), st.sampled_from(["YYMMDDhhmm", "YYMMDDhhmmss", "YYMMDDWWhhmmss"]))
def test_an_instant_is_read_back_as_it_was_written(moment: datetime, layout: str) -> None:
    text = str(moment)[:19] if "ss" in layout else str(moment)[:16]
    form = Moment(layout)
    if not text.startswith("20"):
        with pytest.raises(ValueError):
            form.encode(text)
    else:
        assert form.decode(form.encode(text)) == text


@pytest.mark.parametrize(
    "raw", ["00 00 00 00 00", "FF FF FF FF FF", "00 00 30 02 26", "60 10 01 07 26", "0A 10 01 07 26"]
)
def test_a_date_that_never_was_is_none(raw: str) -> None:
    assert Moment("YYMMDDhhmm").decode(bytes.fromhex(raw)) is None


@given(st.text("0123456789ABCDEF", min_size=12, max_size=12))
def test_hexadecimal_addresses_are_read_back(address: str) -> None:
    assume(address != "F" * 12)
    form = Digits(6, hexadecimal=True)
    assert form.decode(form.encode(address)) == address


def test_text_is_sent_last_character_first() -> None:
    # vector of the reference: rated voltage "220V" in 6 bytes
    assert Ascii(6).decode(bytes.fromhex("00 00 56 30 32 32")) == "220V"
    assert Ascii(6).encode("220V") == bytes.fromhex("00 00 56 30 32 32")
    assert Ascii(6).decode(b"\xff" * 6) is None


@given(st.integers(0, 0xFFFE))
def test_status_bits_are_read_back_by_name(word: int) -> None:
    raw = word.to_bytes(2, "little")
    for _, _, _, names in table_2007.STATUS_WORDS:
        form = Bits(2, names)
        text = form.decode(raw)
        assert text is not None
        assert form.encode(text) == raw


def test_the_relay_bit_of_status_word_3_is_named() -> None:
    assert said(decode_2007("04000503", b"\x10\x00")) == {"status_3": "relay_open"}
    assert said(decode_2007("04000503", b"\x00\x00")) == {"status_3": "none"}


def test_a_speed_has_exactly_one_bit() -> None:
    assert [Speed().decode(bytes((1 << bit,))) for bit in range(8)] == [
        None,
        *("600", "1200", "2400", "4800", "9600", "19200"),
        None,
    ]
    assert Speed().decode(b"\x28") is None
    assert Speed().encode("9600") == b"\x20"


# the tables

EVERY_2007 = [
    *table_2007.SINGLE,
    *(f"00{tt:02X}{rr:02X}{ss:02X}" for tt in table_2007.ENERGIES for rr in (0, 1, 63, 255) for ss in (0, 1, 12)),
    *(f"01{tt:02X}{rr:02X}{ss:02X}" for tt in range(1, 11) for rr in (0, 1, 63, 255) for ss in (0, 12)),
    *(f"02{tt:02X}{rr:02X}00" for tt in range(1, 10) for rr in (1, 2, 3, 255)),
    *("020A0101", "020B03FF", "03110000", "03110001", "0330000A", "03300100", "03300101", "03300D01", "03350001"),
    *("05060001", "0506013E", "05040101", "050010FF", "13010001", "13012501", "1D000001", "1D00FF01", "1E000301"),
]
EVERY_1997 = [
    *table_1997.SINGLE,
    *(f"{family}{month}{kind}{t}" for family in "9AB" for month in "0489" for kind in "12" for t in "01EF"),
    *("9130", "9140", "915F", "B611", "B61F", "B62F", "B630", "B63F", "B640", "B650"),
]


@pytest.mark.parametrize("di", EVERY_2007 + EVERY_1997)
def test_every_known_identifier_has_names_and_a_length_and_writes_what_it_reads(di: str) -> None:
    found = lookup(di)
    assert found is not None
    assert found.zh
    assert found.en
    decoded = (decode_1997 if len(di) == 4 else decode_2007)(di, bytes(found.length))
    assert len({value.name for value in decoded}) == len(decoded)
    numbers = [value.value for value in decoded]
    if found.groups or not found.items or None in numbers:
        return
    assert encode(di, numbers) == bytes(found.length)


@pytest.mark.parametrize(
    ("di", "length", "unit", "en"),
    [  # reference §4, line by line where a mistake would bill or mislead
        ("00000000", 4, "kWh", "combined active energy, total"),
        ("00010000", 4, "kWh", "forward active energy, total"),
        ("00010400", 4, "kWh", "forward active energy, tariff 4"),
        ("00020000", 4, "kWh", "reverse active energy, total"),
        ("00030000", 4, "kvarh", "combined reactive 1 energy, total"),
        ("00050000", 4, "kvarh", "reactive energy, quadrant 1, total"),
        ("00090000", 4, "kVAh", "forward apparent energy, total"),
        ("00150000", 4, "kWh", "phase A forward active energy, total"),
        ("003E0000", 4, "kWh", "phase C reverse active energy, total"),
        ("0001000C", 4, "kWh", "forward active energy, total (12 settlements back)"),
        ("01010000", 8, "kW", "forward active maximum demand and time, total"),
        ("02010100", 2, "V", "phase A voltage"),
        ("0201FF00", 6, "V", "voltage block"),
        ("0202FF00", 9, "A", "current block"),
        ("0203FF00", 12, "kW", "active power block"),
        ("0206FF00", 8, "", "power factor block"),
        ("02800001", 3, "A", "neutral current"),
        ("0280000A", 4, "min", "battery working time"),
        ("040005FF", 14, "", "status words, block"),
        ("03110001", 12, "", "power off: record (1 back)"),
        ("03300001", 50, "", "programming: record (1 back)"),
        ("03300101", 106, "", "meter cleared: record (1 back)"),
        ("03300301", 14, "", "events cleared: record (1 back)"),
        ("03300401", 16, "", "clock set: record (1 back)"),
        ("03300D01", 60, "", "meter cover opened: record (1 back)"),
        ("03350001", 28, "", "magnetic interference: record (1 back)"),
        ("1D00FF01", 34, "", "relay opened: record (1 back)"),
        ("9010", 4, "kWh", "forward active energy, total"),
        ("9140", 4, "kvarh", "reactive quadrant 4 energy, total"),
        ("9150", 4, "kvarh", "reactive quadrant 2 energy, total"),
        ("9810", 4, "kWh", "forward active energy, total (the month before last)"),
        ("A010", 3, "kW", "forward active maximum demand, total"),
        ("B010", 4, "", "forward active time of maximum demand MMDDhhmm, total"),
        ("C032", 6, "", "meter number"),
    ],
)
def test_lengths_and_units_are_those_of_the_reference(di: str, length: int, unit: str, en: str) -> None:
    found = lookup(di)
    assert found is not None
    assert (found.length, found.items[0].unit, found.en) == (length, unit, en)


@pytest.mark.parametrize(
    "di", ["040001E1", "00010041", "0001000D", "02010000", "05060100", "0B000000", "9999", "9310", "D000"]
)
def test_what_no_table_knows_has_no_name_and_no_value(di: str) -> None:
    assert lookup(di) is None
    assert (decode_1997 if len(di) == 4 else decode_2007)(di, b"\x00\x00\x00\x00") == []


@pytest.mark.parametrize("di", ["00150000", "00010001", "05060101", "9000", "9410", "9070", "01010000"])
def test_a_register_that_is_not_the_present_total_never_has_a_name_that_bills(di: str) -> None:
    found = lookup(di)
    assert found is not None
    assert not [item.name for item in found.items if is_billing(item.name)]


@given(st.binary(max_size=70), st.sampled_from([*EVERY_2007, "06000001", "06010002"]))
def test_any_bytes_under_any_2007_identifier_decode_without_raising(data: bytes, di: str) -> None:
    for value in decode_2007(di, data):
        assert value.value is not None or value.invalid == value.invalid.upper()


@given(st.binary(max_size=70), st.sampled_from(EVERY_1997))
def test_any_bytes_under_any_1997_identifier_decode_without_raising(data: bytes, di: str) -> None:
    for value in decode_1997(di, data):
        assert value.value is not None or value.invalid == value.invalid.upper()


# blocks

ENERGIES = "30 36 00 00 56 02 00 00 19 00 00 00 38 00 00 00 17 33 00 00"  # of vector s21


@pytest.mark.parametrize("registers", [1, 2, 5])
@pytest.mark.parametrize("end", ["", "AA"])
@pytest.mark.parametrize("di", ["0001FF00", "901F"])
def test_a_block_has_as_many_tariffs_as_its_length_says_with_or_without_aa(di: str, end: str, registers: int) -> None:
    data = bytes.fromhex(ENERGIES)[: 4 * registers] + bytes.fromhex(end)
    values = decode_1997(di, data) if len(di) == 4 else decode_2007(di, data)
    names = ["import", "import_t1", "import_t2", "import_t3", "import_t4"]
    assert [value.name for value in values] == names[:registers]
    assert [str(value.value) for value in values] == ["36.30", "2.56", "0.19", "0.38", "33.17"][:registers]


def test_a_block_of_63_tariffs_is_read() -> None:
    values = decode_2007("0001FF00", bytes(4 * 64))
    assert (len(values), values[-1].name) == (64, "import_t63")


@pytest.mark.parametrize("data", ["", "00", "00 00 00", "30 36 00 00 56", "30 36 00 00 56 02"])
def test_a_block_cut_in_a_register_is_no_value(data: str) -> None:
    [value] = decode_2007("0001FF00", bytes.fromhex(data))
    assert value.value is None
    assert value.invalid == bytes.fromhex(data).hex().upper()


def test_filler_is_absent_and_damage_is_not() -> None:
    filler, damage = decode_2007("0001FF00", bytes.fromhex("FF FF FF FF 00 00 0E 00"))
    assert (filler.value, filler.invalid, is_absent(filler)) == (None, "FFFFFFFF", True)
    assert (damage.value, damage.invalid, is_absent(damage)) == (None, "00000E00", False)


def test_a_demand_comes_with_its_time_low_byte_first() -> None:
    data = bytes.fromhex("34 12 05 30 14 09 07 26") * 2
    assert said(decode_2007("0101FF00", data)) == {
        "max_demand_import": "5.1234",
        "max_demand_import_at": "2026-07-09 14:30",
        "max_demand_import_t1": "5.1234",
        "max_demand_import_t1_at": "2026-07-09 14:30",
    }


def test_a_single_phase_meter_s_short_blocks_are_its_first_items() -> None:
    assert said(decode_2007("0201FF00", bytes.fromhex("97 22"))) == {"voltage_a": "229.7"}
    assert said(decode_2007("0203FF00", bytes.fromhex("00 50 80"))) == {"power": "-0.5000"}


# 1997 live values


@pytest.mark.parametrize(
    ("di", "data", "expected"),
    [
        ("B611", "20 02", {"voltage_a": "220"}),
        ("B621", "34 12", {"current_a": "12.34"}),
        ("B621", "56 34 12", {"current_a": "123.456"}),
        ("B62F", "56 34 12 00 00 00 01 00 00", {"current_a": "123.456", "current_b": "0.000", "current_c": "0.001"}),
        ("B630", "56 34 12", {"power": "12.3456"}),
        ("B650", "95 09", {"power_factor": "0.995"}),
        ("B680", "00 50", {"frequency": "50.00"}),
        ("B611", "20 02 00", {"voltage_a": None}),
    ],
)
def test_the_length_of_a_1997_live_value_comes_from_the_reply(di: str, data: str, expected: dict[str, str]) -> None:
    assert said(decode_1997(di, bytes.fromhex(data))) == expected


def test_a_model_s_data_changes_the_format_of_a_1997_live_value() -> None:
    items = {"B61": {"bytes": "2", "decimals": "1"}, "B630": {"bytes": 3, "decimals": 3, "signed": True}}
    assert said(decode_1997("B612", bytes.fromhex("05 22"), items)) == {"voltage_b": "220.5"}
    assert said(decode_1997("B61F", bytes.fromhex("05 22 06 22 07 22"), items))["voltage_c"] == "220.7"
    assert said(decode_1997("B630", bytes.fromhex("00 10 80"), items)) == {"power": "-1.000"}
    assert encode("B611", ["220.5"], items) == bytes.fromhex("05 22")
    assert lookup_1997("B612") != lookup_1997("B612", items)


def test_a_model_that_repeats_the_table_keeps_the_table_s_second_layout() -> None:
    items = {"B62": {"bytes": 2, "decimals": 2}}
    assert said(decode_1997("B621", bytes.fromhex("56 34 12"), items)) == {"current_a": "123.456"}


# freezes


def test_an_hourly_freeze_is_read_with_and_without_aa_between() -> None:
    expected = {"freeze_at": "2026-07-09 14:00", "freeze_import": "36.30", "freeze_export": "2.56"}
    time, forward, reverse = "00 14 09 07 26", "30 36 00 00", "56 02 00 00"
    for block in (f"{time}{forward}{reverse}", f"{time}AA{forward}AA{reverse}", f"{time}AA{forward}AA{reverse}AA"):
        assert said(decode_2007("0504FF01", bytes.fromhex(block))) == expected


def test_a_daily_freeze_is_read_whole_and_by_parts() -> None:
    time, energies, demands = bytes.fromhex("00 00 09 07 26"), bytes.fromhex(ENERGIES), bytes(8 * 5)
    groups = [time, *[energies] * 8, demands, demands, bytes(24)]
    for block in (b"".join(groups), b"\xaa".join(groups), b"\xaa".join(groups) + b"\xaa"):
        values = said(decode_2007("0506FF01", block))
        assert values["freeze_at"] == "2026-07-09 00:00"
        assert values["freeze_import_t4"] == values["freeze_reactive_q4_t4"] == "33.17"
        assert values["freeze_reactive_power_c"] == "0.0000"
    assert said(decode_2007("05060101", energies))["freeze_import"] == "36.30"
    assert said(decode_2007("05060001", time)) == {"freeze_at": "2026-07-09 00:00"}


# load records


def test_a_load_record_is_read_as_the_reference_draws_it() -> None:
    energies = bytes.fromhex("30 36 00 00 56 02 00 00 00 00 00 80 00 00 00 00")
    record = build("2026-07-09 14:15", {4: energies, 6: bytes.fromhex("00 10 00 00 00 00")})
    # A0 A0 n | mm hh DD MM YY | AA AA AA | class 4 AA | AA | class 6 AA | cs E5
    body = bytes.fromhex("15 14 09 07 26 AA AA AA") + energies + bytes.fromhex("AA AA 00 10 00 00 00 00 AA")
    head = bytes.fromhex("A0 A0") + bytes((len(body),))
    assert record == head + body + bytes((sum(head + body) & 0xFF, 0xE5))
    [read] = parse(record)
    assert read.at == "2026-07-09 14:15"
    values = {value.name: str(value.value) for value in read.values}
    assert values["import"] == "36.30"
    assert values["export"] == "2.56"
    assert values["demand_import"] == "0.1000"
    assert said(decode_2007("06000002", record * 2))["record_2_import"] == "36.30"


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 12, 31)),
    st.dictionaries(st.sampled_from(sorted(CLASSES)), st.integers(0, 7)),
)
def test_a_load_record_with_any_classes_is_read_back(moment: datetime, classes: dict[int, int]) -> None:
    data = {
        number: b"".join(item.format.encode(Decimal(digit)) for item in CLASSES[number])
        for number, digit in classes.items()
    }
    [read] = parse(build(str(moment)[:16], data))
    assert read.at == str(moment)[:16]
    assert len(read.values) == sum(len(CLASSES[number]) for number in data)
    for number, digit in classes.items():
        for item in CLASSES[number]:
            value = read.value(item.name)
            assert value is not None
            assert value.value == digit


def test_a_single_phase_load_record_has_shorter_classes() -> None:
    [read] = parse(
        build("2026-07-09 14:15", {1: bytes.fromhex("97 22 00 50 00 00 50"), 4: bytes.fromhex(ENERGIES)[:8]})
    )
    assert {value.name: str(value.value) for value in read.values} == {
        "voltage_a": "229.7",
        "current_a": "5.000",
        "frequency": "50.00",
        "import": "36.30",
        "export": "2.56",
    }


@pytest.mark.parametrize("damaged", ["AA 36 00 00", "30 AA 00 00"])
def test_a_load_record_with_an_aa_in_its_data_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError, match="divide"):
        parse(build("2026-07-09 14:15", {4: bytes.fromhex(damaged) + bytes(12), 6: bytes(6)}))


def test_a_load_record_with_bytes_behind_its_last_class_is_refused() -> None:
    body = bytes.fromhex("15 14 09 07 26") + b"\xaa" * 6 + b"\x00"
    head = b"\xa0\xa0" + bytes((len(body),)) + body
    with pytest.raises(ValueError, match="divide"):
        parse(head + bytes((sum(head) & 0xFF, 0xE5)))


def test_a_class_of_unknown_length_is_no_value() -> None:
    [read] = parse(build("2026-07-09 14:15", {4: bytes(5)}))
    assert [(value.name, value.value, value.invalid) for value in read.values] == [("class_4", None, "0000000000")]


RECORD = build("2026-07-09 14:15", {4: bytes(16), 6: bytes(6)})


@pytest.mark.parametrize("at", range(len(RECORD)))
def test_a_load_record_with_a_changed_byte_is_refused(at: int) -> None:
    record = bytearray(RECORD)
    record[at] ^= 0x10
    with pytest.raises(ValueError):
        parse(bytes(record))


def test_a_load_record_with_a_wrong_checksum_decodes_to_no_value() -> None:
    record = bytearray(build("2026-07-09 14:15", {}))
    record[-2] ^= 1
    [value] = decode_2007("06000002", bytes(record))
    assert value.value is None
    assert value.invalid == record.hex().upper()


@pytest.mark.parametrize("di", ["0001", "90", "0001FF000", "0001FF", ""])
def test_a_di_has_4_or_8_digits(di: str) -> None:
    if len(di) == 4:
        assert wire(di) == b"\x01\x00"
        return
    with pytest.raises(ValueError):
        wire(di)


def test_a_di_goes_low_byte_first() -> None:
    assert wire("0001FF00") == bytes.fromhex("00 FF 01 00")
    assert wire("901F") == bytes.fromhex("1F 90")


def test_harmonics_are_named_by_phase_and_order() -> None:
    assert said(decode_2007("020A0115", b"\x50\x01")) == {"harmonic_voltage_a_21": "1.50"}
    assert lookup_2007("020A0116") is None


@pytest.mark.parametrize(
    ("di", "values"),
    [("0001FF00", ["1"] * 65), ("00010000", []), ("00010000", ["1", "2"]), ("0504FF01", ["1"]), ("040001E1", ["1"])],
)
def test_what_an_identifier_cannot_say_is_refused_in_writing(di: str, values: list[str]) -> None:
    with pytest.raises(ValueError):
        encode(di, values)
