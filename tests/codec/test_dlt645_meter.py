"""Requests, the recognition of replies and the meter, against a scripted bus: real bytes, no line, no time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.dlt645 import requests
from drivers.dlt645.frame import Frame, decode
from drivers.dlt645.identifiers import encode, wire
from drivers.dlt645.meter import ASK_AGAIN_AFTER, Dlt645Meter
from drivers.dlt645.plan import tariffs_add_up
from drivers.dlt645.replies import ReplyReader, fits
from drivers.errors import Refused, Silent, Unexpected
from drivers.exchange import Answer, Exchange

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "dlt645-vectors.json").read_text())
VECTORS = {vector["id"]: bytes.fromhex(vector["hex"]) for vector in GOLDEN["vectors"]}
ADDRESS = "202208310003"

Replying = Callable[[Frame], bytes | None]


class ScriptedBus:
    """Hands each request to `reply` and its bytes to the exchange's own reader, as a line does."""

    def __init__(self, reply: Replying) -> None:
        self.reply = reply
        self.asked: list[Frame] = []

    async def exchange(self, exchange: Exchange) -> Answer:
        request = decode(exchange.request)
        self.asked.append(request)
        reader = exchange.reader()
        heard = self.reply(request)
        found = reader.feed(heard) if heard else None
        if found is None:
            raise Silent("no answer")
        return Answer(exchange.request, found, 0, 0, 0.0, reader.noticed)

    @property
    def items(self) -> list[str]:
        return [frame.data[::-1].hex().upper() for frame in self.asked]


def playing(items: dict[str, bytes | int | None]) -> Replying:
    """A meter that has these items: data, an ERR code, or silence; anything else is refused with ERR 02."""

    def reply(request: Frame) -> bytes | None:
        assert request.function in (0x01, 0x11)
        said = items.get(request.data[::-1].hex().upper(), 0x02)
        if said is None:
            return None
        if isinstance(said, int):
            return Frame(request.address, 0xC0 | request.function, bytes((said,))).raw
        return Frame(request.address, 0x80 | request.function, request.data + said).raw

    return reply


def meter(
    has: dict[str, bytes | int | None] | Replying, *wanted: str, edition: str = "2007", **model: object
) -> tuple[Dlt645Meter, ScriptedBus]:
    bus = ScriptedBus(has if callable(has) else playing(has))
    return Dlt645Meter("m-1", ADDRESS, edition, bus, frozenset(wanted or {"import"}), model), bus


# requests


@pytest.mark.parametrize(
    ("vector", "exchange"),
    [
        ("s42", requests.read("2007", "000000193600", "0001FF00")),
        ("s43", requests.read("2007", "000000000161", "00010000")),
        ("s48", requests.read("2007", "071801024091", "00010000")),
        ("s50", requests.read("2007", "AAAAAAAAAAAA", "02010100", commissioning=True)),
        ("s52", requests.read_address()),
        ("s17", requests.read("1997", "138000130754", "9010")),
        ("s16", requests.read("1997", "AAAAAAAAAAAA", "9010", commissioning=True)),
    ],
)
def test_a_request_is_the_published_frame_behind_four_fe(vector: str, exchange: Exchange) -> None:
    assert exchange.request == VECTORS[vector]
    assert exchange.preamble == b"\xfe\xfe\xfe\xfe"
    assert exchange.commissioning == (vector in {"s50", "s52", "s16"})
    assert exchange.protocol == ("dlt645-1997" if vector in {"s16", "s17"} else "dlt645-2007")


@pytest.mark.parametrize(
    ("vector", "exchange"),
    [
        ("s21", requests.read("2007", "000000193600", "0001FF00")),
        ("s22", requests.read("2007", "000000000161", "00010000")),
        ("s23", requests.read("2007", "000000000161", "02020100")),
        ("s26", requests.read("2007", "005223440001", "02010300")),
        ("s38", requests.read_address()),
        ("s04", requests.read("1997", "000000063295", "9010")),
        ("s07", requests.read("1997", "201708176934", "C032")),
    ],
)
def test_a_published_reply_answers_its_request_and_has_the_predicted_length(vector: str, exchange: Exchange) -> None:
    reader = exchange.reader()
    assert reader.feed(b"\xfe\xfe" + exchange.request + b"\xfe" + VECTORS[vector] + b"\xff") == VECTORS[vector]
    assert reader.noticed.echo == 1
    assert reader.noticed.foreign == 0
    assert exchange.reply_bytes == len(VECTORS[vector])


def test_load_record_requests_have_the_lengths_of_the_reference() -> None:
    latest = decode(requests.load_records(ADDRESS, 0).request)
    oldest = decode(requests.load_records(ADDRESS, 4, oldest=True, count=9).request)
    since = decode(requests.load_records(ADDRESS, 4, since="2026-07-09 14:15", count=2).request)
    assert latest.data == bytes.fromhex("02 00 00 06")
    assert oldest.data == bytes.fromhex("00 00 04 06 09")
    assert since.data == bytes.fromhex("01 00 04 06 02 15 14 09 07 26")
    answer = Frame(ADDRESS, 0xB1, bytes.fromhex("01 00 04 06 A0 A0")).raw
    exchange = requests.load_records(ADDRESS, 4, since="2026-07-09 14:15", count=2)
    assert exchange.reader().feed(answer) == answer


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: requests.read("2007", ADDRESS, "9010"),
        lambda: requests.read("1997", ADDRESS, "00010000"),
        lambda: requests.read("2007", ADDRESS, "0001FF0G"),
        lambda: requests.read("2007", "12345", "00010000"),
        lambda: requests.load_records(ADDRESS, 7),
        lambda: requests.load_records(ADDRESS, 1, oldest=True, count=10),
        lambda: requests.load_records(ADDRESS, 1, count=2),
        lambda: requests.freeze(ADDRESS, 6, 1, 0),
    ],
)
def test_a_malformed_question_is_refused(wrong: Callable[[], Exchange]) -> None:
    with pytest.raises(ValueError):
        wrong()


# recognising the reply

ASKED = Frame(ADDRESS, 0x11, wire("00010000"))
GOOD = Frame(ADDRESS, 0x91, wire("00010000") + encode("00010000", ["36.30"]))


@pytest.mark.parametrize(
    "other",
    [
        Frame("202208310004", 0x91, GOOD.data),  # another meter
        Frame(ADDRESS, 0x91, wire("00020000") + bytes(4)),  # a late answer to another item
        Frame(ADDRESS, 0x92, GOOD.data + b"\x01"),  # another function
        Frame(ADDRESS, 0x11, wire("00020000")),  # another master
        Frame(ADDRESS, 0xD4, b"\x02"),  # an error of another function
        Frame("AAAAAAAAAAAA", 0x91, GOOD.data),
    ],
)
def test_a_frame_that_answers_another_question_is_counted_and_passed_over(other: Frame) -> None:
    reader = ReplyReader(ASKED, di=wire("00010000"))
    assert reader.feed(other.raw) is None
    assert reader.feed(GOOD.raw) == GOOD.raw
    assert reader.noticed.foreign == 1


def test_our_own_echo_noise_and_bad_checksums_are_counted() -> None:
    reader = ReplyReader(ASKED, di=wire("00010000"))
    bad = bytearray(GOOD.raw)
    bad[-2] ^= 1
    assert reader.feed(b"\xfe\xfe" + ASKED.raw + b"\x00\xff" + bytes(bad)) is None
    assert (reader.noticed.echo, reader.noticed.checksum, reader.noticed.foreign) == (1, 1, 0)
    assert reader.noticed.noise == 2 + len(bad)


def test_a_damaged_byte_voids_the_reply_it_was_in() -> None:
    reader = ReplyReader(ASKED, di=wire("00010000"))
    assert reader.feed(GOOD.raw[:15]) is None
    reader.damage()
    assert reader.feed(GOOD.raw[16:]) is None
    assert reader.noticed.parity == 1
    assert reader.feed(GOOD.raw) == GOOD.raw


def test_an_error_answer_is_the_reply() -> None:
    error = Frame(ADDRESS, 0xD1, b"\x02").raw
    assert ReplyReader(ASKED, di=wire("00010000")).feed(error) == error


def test_a_follow_on_answer_must_repeat_its_seq() -> None:
    reader = requests.read_on("2007", ADDRESS, "00010000", 2).reader()
    assert reader.feed(Frame(ADDRESS, 0xB2, wire("00010000") + b"\x00\x01").raw) is None
    right = Frame(ADDRESS, 0x92, wire("00010000") + b"\x00\x02").raw
    assert reader.feed(right) == right


@pytest.mark.parametrize(
    ("asked", "answered", "may"),
    [
        ("AAAAAAAAAAAA", "202208310003", True),
        ("AAAAAAAAAAAA", "AAAAAAAAAAAA", True),
        ("AAAAAAAA0002", "202208310002", True),
        ("AAAAAAAA0002", "AAAAAAAA0002", True),
        ("AAAAAAAA0002", "AAAAAAAAAAAA", False),
        ("AAAAAAAA0002", "202208310003", False),
        ("AAAA00AA0002", "202200AA0002", True),
        ("AAAA00AA0002", "202200010002", False),
        ("202208310002", "202208310003", False),
        ("A02208310002", "B02208310002", False),
    ],
)
def test_a_wildcard_is_answered_by_whom_it_fits_byte_by_byte(asked: str, answered: str, may: bool) -> None:
    assert fits(asked, answered) is may


@given(st.lists(st.binary(max_size=30) | st.sampled_from([ASKED.raw, GOOD.raw, GOOD.raw[:9]]), max_size=8))
def test_whatever_comes_the_reader_gives_the_reply_or_nothing(parts: list[bytes]) -> None:
    reader = ReplyReader(ASKED, di=wire("00010000"))
    for part in parts:
        assert reader.feed(part) in (None, GOOD.raw)


# the meter

BLOCK = VECTORS["s21"][10 + 4 : -2]
BLOCK = bytes((byte - 0x33) & 0xFF for byte in BLOCK)
TOTAL = BLOCK[:4]


async def test_a_look_reads_total_and_tariffs_in_one_frame_and_says_what_was_checked() -> None:
    one, bus = meter({"0001FF00": BLOCK})
    look = await one.look()
    assert look.registers == {
        "import": Decimal("36.30"),
        "import_t1": Decimal("2.56"),
        "import_t2": Decimal("0.19"),
        "import_t3": Decimal("0.38"),
        "import_t4": Decimal("33.17"),
    }
    assert look.checks == {"checksum", "address", "identifier", "length", "bcd", "tariff_sum"}
    assert [answer.request for answer in look.answers] == [bus.asked[0].raw]


async def test_the_second_look_asks_the_total_alone() -> None:
    one, bus = meter({"0001FF00": BLOCK, "00010000": TOTAL, "0002FF00": BLOCK, "00020000": TOTAL}, "import", "export")
    look = await one.look(second=True)
    assert bus.items == ["00010000", "00020000"]
    assert look.registers == {"import": Decimal("36.30"), "export": Decimal("36.30")}
    assert "tariff_sum" not in look.checks


async def test_a_1997_meter_is_asked_in_its_own_words() -> None:
    one, bus = meter({"901F": BLOCK + b"\xaa", "9010": TOTAL, "9020": TOTAL}, "import", "export", edition="1997")
    look = await one.look()
    assert bus.items == ["901F", "902F", "9020"]
    assert look.registers["import_t4"] == Decimal("33.17")
    assert "tariff_sum" not in look.checks  # export came without tariffs
    await one.look(second=True)
    assert bus.items[3:] == ["9010", "9020"]


@pytest.mark.parametrize("no_block", [0x01, 0x02, 0x04, 0x06, None])
async def test_a_meter_without_the_block_is_asked_the_total_and_remembered(no_block: int | None) -> None:
    one, bus = meter({"0001FF00": no_block, "00010000": TOTAL})
    assert (await one.look()).registers == {"import": Decimal("36.30")}
    for _ in range(ASK_AGAIN_AFTER):
        await one.look()
    assert bus.items.count("0001FF00") == 1
    await one.look()
    assert bus.items.count("0001FF00") == 2


async def test_a_meter_that_gave_its_block_before_is_only_silent() -> None:
    items: dict[str, bytes | int | None] = {"0001FF00": BLOCK, "00010000": TOTAL}
    one, bus = meter(items)
    await one.look()
    items["0001FF00"] = None
    with pytest.raises(Silent):
        await one.look()
    assert bus.items == ["0001FF00", "0001FF00"]


async def test_a_model_without_blocks_is_never_asked_for_one() -> None:
    one, bus = meter({"00010000": TOTAL}, blocks=False)
    await one.look()
    assert bus.items == ["00010000"]


@pytest.mark.parametrize("no_export", [0x02, None])
async def test_a_register_that_is_only_wished_is_left_out_where_the_meter_has_it_not(no_export: int | None) -> None:
    has = {"0001FF00": BLOCK, "00010000": TOTAL, "0002FF00": no_export, "00020000": no_export}
    bus = ScriptedBus(playing({**has}))
    one = Dlt645Meter("m-1", ADDRESS, "2007", bus, frozenset({"import"}), wished=frozenset({"export"}))
    look = await one.look()
    assert look.registers["import"] == Decimal("36.30")
    assert "export" not in look.registers
    assert "tariff_sum" in look.checks
    await one.look()
    await one.look(second=True)
    assert bus.items == ["0001FF00", "0002FF00", "00020000", "0001FF00", "00010000"]


async def test_a_wished_register_that_the_meter_gave_before_may_not_go_missing() -> None:
    has: dict[str, bytes | int | None] = {"0001FF00": BLOCK, "0002FF00": BLOCK}
    bus = ScriptedBus(playing(has))
    one = Dlt645Meter("m-1", ADDRESS, "2007", bus, frozenset({"import"}), wished=frozenset({"export"}))
    assert "export" in (await one.look()).registers
    has["0002FF00"] = None
    with pytest.raises(Silent):
        await one.look()


async def test_a_needed_register_that_is_refused_fails_the_look() -> None:
    one, _ = meter({"0001FF00": BLOCK}, "import", "export")
    with pytest.raises(Refused):
        await one.look()


async def test_a_block_too_long_for_one_frame_gives_way_to_the_total() -> None:
    def reply(request: Frame) -> bytes:
        if request.data == wire("0001FF00"):
            return Frame(ADDRESS, 0xB1, request.data + bytes(160)).raw
        return Frame(ADDRESS, 0x91, request.data + TOTAL).raw

    one, _ = meter(reply)
    assert (await one.look()).registers == {"import": Decimal("36.30")}


async def test_a_refusal_carries_the_code_and_its_words() -> None:
    one, _ = meter({"0001FF00": 0x02, "00010000": 0x04})
    with pytest.raises(Refused, match=r"m-1: 00010000 refused, wrong password") as caught:
        await one.look()
    assert caught.value.code == 4
    assert decode(caught.value.frame).control == 0xD1


@pytest.mark.parametrize(
    "data",
    [
        "00 00 0E 00",  # vector s34: a nibble is E
        "FF FF FF FF",
        "30 36 00",
        "30 36 00 00 FF 00 00 00",
        "",
    ],
)
async def test_what_is_no_number_is_never_a_register(data: str) -> None:
    one, _ = meter({"0001FF00": bytes.fromhex(data)})
    with pytest.raises(Unexpected) as caught:
        await one.look()
    assert decode(caught.value.frame).data == wire("0001FF00") + bytes.fromhex(data)


async def test_an_unused_tariff_of_filler_is_left_out() -> None:
    one, _ = meter({"0001FF00": BLOCK + b"\xff" * 4})
    look = await one.look()
    assert "import_t5" not in look.registers
    assert "tariff_sum" in look.checks


@pytest.mark.parametrize(
    ("total", "tariffs", "agree"),
    [
        ("36.30", ["2.56", "0.19", "0.38", "33.17"], True),
        ("36.34", ["2.56", "0.19", "0.38", "33.17"], True),
        ("36.35", ["2.56", "0.19", "0.38", "33.17"], False),
        ("36.26", ["2.56", "0.19", "0.38", "33.17"], True),
        ("36.25", ["2.56", "0.19", "0.38", "33.17"], False),
        ("0.00", ["0.00", "0.00"], True),
        ("0.01", ["0.00", "0.00"], False),
        ("36.30", ["0.00", "0.00", "0.00", "0.00"], False),
        ("36.30", [], False),
        ("10.05", ["10.00", *["0.00"] * 62], True),
        ("10.06", ["10.00", *["0.00"] * 62], False),
    ],
)
def test_tariffs_confirm_a_total_as_far_as_cut_digits_allow(total: str, tariffs: list[str], agree: bool) -> None:
    registers = {"import": Decimal(total)} | {f"import_t{n}": Decimal(value) for n, value in enumerate(tariffs, 1)}
    assert tariffs_add_up("import", registers) is agree


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=5))
def test_registers_cut_each_on_its_own_always_agree(watt_hours: list[int]) -> None:
    def cut(wh: int) -> Decimal:
        return Decimal(wh // 10).scaleb(-2)

    registers = {"import": cut(sum(watt_hours))} | {f"import_t{n}": cut(wh) for n, wh in enumerate(watt_hours, 1)}
    assert tariffs_add_up("import", registers) is any(cut(wh) for wh in watt_hours) or not registers["import"]


async def test_the_clock_is_date_and_time_of_two_items() -> None:
    one, bus = meter({"04000101": bytes.fromhex("04 09 07 26"), "04000102": bytes.fromhex("51 22 10")})
    assert await one.clock() == "2026-07-09 10:22:51"
    assert bus.items == ["04000101", "04000102"]
    old, _ = meter({"C010": bytes.fromhex("04 09 07 26"), "C011": bytes.fromhex("04 22 22")}, edition="1997")
    assert await old.clock() == "2026-07-09 22:22:04"


async def test_a_midnight_between_the_two_items_does_not_give_yesterday() -> None:
    dates: Iterator[str] = iter(["04 09 07 26", "05 10 07 26"])

    def reply(request: Frame) -> bytes:
        data = bytes.fromhex("00 00 00" if request.data == wire("04000102") else next(dates))
        return Frame(ADDRESS, 0x91, request.data + data).raw

    one, _ = meter(reply)
    assert await one.clock() == "2026-07-10 00:00:00"


async def test_a_meter_without_clock_or_number_says_none() -> None:
    one, _ = meter({})
    assert await one.clock() is None
    assert await one.serial() is None


@pytest.mark.parametrize("date", ["FF FF FF FF", "00 00 00 00", "04 32 07 26", "04 0A 07 26", "04 30 02 26"])
async def test_an_impossible_clock_is_a_fault(date: str) -> None:
    one, _ = meter({"04000101": bytes.fromhex(date), "04000102": bytes.fromhex("51 22 10")})
    with pytest.raises(Unexpected):
        await one.clock()


async def test_the_meter_states_its_number() -> None:
    one, _ = meter({"04000402": bytes.fromhex("03 00 31 08 22 20")})
    assert await one.serial() == "202208310003"
    empty, _ = meter({"04000402": b"\xff" * 6})
    assert await empty.serial() is None
    damaged, _ = meter({"04000402": b"\xff" * 5 + b"\x00"})
    with pytest.raises(Unexpected):
        await damaged.serial()


async def test_telemetry_leaves_out_what_the_meter_refuses_and_does_not_ask_it_again_soon() -> None:
    one, bus = meter(
        {"02010100": bytes.fromhex("97 22"), "0203FF00": bytes.fromhex("00 50 80"), "02800002": b"\x00\x50"}
    )
    values = {value.name: str(value.value) for value in await one.telemetry()}
    assert values == {"voltage_a": "229.7", "power": "-0.5000", "frequency": "50.00"}
    asked = len(bus.asked)
    await one.telemetry()
    assert bus.items[asked:] == ["02010100", "0203FF00", "02800002"]


async def test_a_model_s_formats_are_used_for_1997_telemetry() -> None:
    one, _ = meter({"B611": bytes.fromhex("05 22")}, edition="1997", items={"B61": {"bytes": 2, "decimals": 1}})
    [value] = await one.telemetry()
    assert (value.name, str(value.value)) == ("voltage_a", "220.5")


async def test_an_item_in_several_parts_is_joined() -> None:
    record = encode("03300001", ["2026-07-09 10:00:00", "11111111", *["00010000"] * 10])
    parts = [record[:20], record[20:40], record[40:]]

    def reply(request: Frame) -> bytes:
        number = 0 if request.function == 0x11 else request.data[-1]
        more = 0x20 if number < 2 else 0
        return Frame(ADDRESS, 0x80 | more | request.function, request.data[:4] + parts[number] + request.data[4:]).raw

    one, bus = meter(reply)
    values, answer = await one.read_item("03300001")
    assert [frame.function for frame in bus.asked] == [0x11, 0x12, 0x12]
    assert [frame.data[4:] for frame in bus.asked] == [b"", b"\x01", b"\x02"]
    assert {value.name: value.value for value in values}["programmed_at"] == "2026-07-09 10:00:00"
    assert answer.request == bus.asked[0].raw


async def test_an_answer_without_end_is_given_up() -> None:
    def reply(request: Frame) -> bytes:
        return Frame(ADDRESS, 0xA0 | request.function, request.data[:4] + b"\x00" + request.data[4:]).raw

    one, bus = meter(reply)
    with pytest.raises(Unexpected, match="no end"):
        await one.read_item("03300001")
    assert len(bus.asked) == 64


async def test_an_unknown_item_is_shown_as_bytes() -> None:
    one, _ = meter({"040001E1": b"\x01\xab"})
    [value] = (await one.read_item("040001e1"))[0]
    assert (value.name, value.value, value.item) == ("data", "01AB", "040001E1")


@pytest.mark.parametrize(("edition", "wanted"), [("2013", "import"), ("2007", "imports"), ("1997", "voltage_a")])
def test_a_meter_of_unknown_edition_or_register_cannot_be_made(edition: str, wanted: str) -> None:
    with pytest.raises(ValueError):
        meter({}, wanted, edition=edition)


def test_seq_goes_from_ff_to_1_and_never_to_0() -> None:
    assert [requests.next_seq(seq) for seq in (1, 254, 255)] == [2, 255, 1]
