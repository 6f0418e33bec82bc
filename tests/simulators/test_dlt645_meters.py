"""Simulated meters against published frames: the requests and the bytes that real meters or manuals answer."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from parks import NOON, meter, park, point

from drivers.dlt645.frame import Frame, decode, encode
from simulators.dlt645_memory import DAY_MS, HOUR_MS, LOAD_STEP_MS, Happening
from simulators.dlt645_meter import Dlt645Meter
from simulators.faults import Fault, Faults
from simulators.park import Truth

SEED = 5


class FrozenTruth(Truth):
    """A truth that says what a published frame says."""

    said: dict[str, Decimal] = {}

    def registers(self, meter_id: str, t_ms: int, *, decimals: int = 2) -> dict[str, Decimal]:
        return {name: self.said.get(name, Decimal(0)) for name in super().registers(meter_id, t_ms)}

    def live(self, meter_id: str, t_ms: int) -> dict[str, Decimal]:
        return super().live(meter_id, t_ms) | self.said


def make(address: str, *, said: dict[str, str] | None = None, **changes: Any) -> Dlt645Meter:
    config = park([meter("m", address=address, **changes)], [point("m")])
    truth = FrozenTruth(config, SEED) if said is not None else Truth(config, SEED)
    if said is not None:
        truth.said = {name: Decimal(value) for name, value in said.items()}
    made = Dlt645Meter(truth, config["meters"][0], wake=0)
    made.memory.clock_ms = 0
    return made


def ask(made: Dlt645Meter, request: str | bytes, at_ms: int = NOON) -> bytes | None:
    reply = made.hear(bytes.fromhex(request) if isinstance(request, str) else request, at_ms)
    return None if reply is None else reply.data


def read(made: Dlt645Meter, di: str, *, extra: bytes = b"", at_ms: int = NOON, control: int = 0x11) -> Frame:
    data = ask(made, encode(Frame(made.address, control, bytes.fromhex(di)[::-1] + extra)), at_ms)
    assert data is not None
    return decode(data)


OLD = "dlt645-1997"
GOLDEN = [
    # vectors s43/s22, s44/s23, s45/s24, s46/s25: log of one meter; s42/s21: block with checksum 00
    ("000000000161", {"import": "0.26"}, "68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16",
     "68 61 01 00 00 00 00 68 91 08 33 33 34 33 59 33 33 33 8A 16"),
    ("000000000161", {"current_a": "4.999"}, "68 61 01 00 00 00 00 68 11 04 33 34 35 35 18 16",
     "68 61 01 00 00 00 00 68 91 07 33 34 35 35 CC 7C 33 16 16"),
    ("000000000161", {"reactive_power": "0.4331"}, "68 61 01 00 00 00 00 68 11 04 33 33 37 35 19 16",
     "68 61 01 00 00 00 00 68 91 07 33 33 37 35 64 76 33 A9 16"),
    ("000000000161", {"power_factor": "0.501"}, "68 61 01 00 00 00 00 68 11 04 33 33 39 35 1B 16",
     "68 61 01 00 00 00 00 68 91 06 33 33 39 35 34 38 09 16"),
    ("000000193600", {"import": "36.30", "import_t1": "2.56", "import_t2": "0.19", "import_t3": "0.38",
                      "import_t4": "33.17"},
     "68 00 36 19 00 00 00 68 11 04 33 32 34 33 00 16",
     "68 00 36 19 00 00 00 68 91 18 33 32 34 33 63 69 33 33 89 35 33 33 4C 33 33 33 6B 33 33 33 4A 66 33 33 E9 16"),
    # s52/s38, s52/s39: what is your address
    ("000332316420", {}, "68 AA AA AA AA AA AA 68 13 00 DF 16",
     "68 20 64 31 32 03 00 68 93 06 53 97 64 65 36 33 6F 16"),
    ("111111111111", {}, "68 AA AA AA AA AA AA 68 13 00 DF 16",
     "68 11 11 11 11 11 11 68 93 06 44 44 44 44 44 44 67 16"),
    # s50/s30: a wildcard read is answered with the meter's own address
    ("111111111111", {"voltage_a": "235.2"}, "68 AA AA AA AA AA AA 68 11 04 33 34 34 35 B1 16",
     "68 11 11 11 11 11 11 68 91 06 33 34 34 35 85 56 78 16"),
    # s33: combined active; 123456.78 of s36; s40: an unknown item
    ("910004920760", {"import": "7502.64"}, "68 60 07 92 04 00 91 68 11 04 33 33 33 33 3F 16",
     "68 60 07 92 04 00 91 68 91 08 33 33 33 33 97 35 A8 33 6A 16"),
    ("123456789012", {"import": "123456.78"}, "68 12 90 78 56 34 12 68 11 04 33 33 34 33 68 16",
     "68 12 90 78 56 34 12 68 91 08 33 33 34 33 AB 89 67 45 CC 16"),
    ("123456789012", {}, "68 12 90 78 56 34 12 68 11 04 14 34 33 37 4D 16",
     "68 12 90 78 56 34 12 68 D1 01 35 8D 16"),
]  # fmt: skip
GOLDEN_1997 = [
    # s20 with the answers s04, s03, s05, s02: log of real meters, and a manual
    ("000000063295", {"import": "0.15"}, "68 95 32 06 00 00 00 68 01 02 43 C3 A6 16",
     "68 95 32 06 00 00 00 68 81 06 43 C3 48 33 33 33 0B 16"),
    ("000000063295", {}, "68 95 32 06 00 00 00 68 01 02 43 C4 A7 16",
     "68 95 32 06 00 00 00 68 81 06 43 C4 33 33 33 33 F7 16"),
    ("000000063295", {"import": "0.38"}, "68 95 32 06 00 00 00 68 01 02 33 C3 96 16",
     "68 95 32 06 00 00 00 68 81 06 33 C3 6B 33 33 33 1E 16"),
    ("000000000003", {"voltage_a": "100"}, "68 03 00 00 00 00 00 68 01 02 44 E9 03 16",
     "68 03 00 00 00 00 00 68 81 04 44 E9 33 34 EC 16"),
    # s07: meter number equal to the address; s14: four bytes of identifier are none; s15: a write is refused
    ("201708176934", {}, "68 34 69 17 08 17 20 68 01 02 65 F3 1E 16",
     "68 34 69 17 08 17 20 68 81 08 65 F3 67 9C 4A 3B 4A 53 C9 16"),
    ("000000063295", {}, "68 95 32 06 00 00 00 68 01 04 33 33 34 33 6F 16",
     "68 95 32 06 00 00 00 68 C1 01 35 94 16"),
    ("201708176934", {}, "68 34 69 17 08 17 20 68 04 00 C7 16",
     "68 34 69 17 08 17 20 68 C4 01 34 BC 16"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "said", "request_", "reply"), GOLDEN)
def test_a_2007_meter_answers_as_published(address: str, said: dict[str, str], request_: str, reply: str) -> None:
    assert ask(make(address, said=said), with_sum(request_)) == bytes.fromhex(reply)


@pytest.mark.parametrize(("address", "said", "request_", "reply"), GOLDEN_1997)
def test_a_1997_meter_answers_as_published(address: str, said: dict[str, str], request_: str, reply: str) -> None:
    assert ask(make(address, said=said, protocol=OLD), with_sum(request_)) == bytes.fromhex(reply)


def with_sum(request: str) -> bytes:
    """The request with its checksum made right: only replies are published for some items."""
    data = bytes.fromhex(request)
    return data[:-2] + bytes((sum(data[:-2]) & 0xFF, 0x16))


def test_the_time_of_a_1997_meter_is_its_own_clock_low_byte_first() -> None:
    made = make("201708176934", protocol=OLD)
    at_ms = made.memory.instant(datetime(2026, 7, 6, 22, 22, 4, tzinfo=UTC))
    request = with_sum("68 34 69 17 08 17 20 68 01 02 44 F3 00 16")
    # vector s08
    assert ask(made, request, at_ms) == bytes.fromhex("68 34 69 17 08 17 20 68 81 05 44 F3 37 55 55 61 16")


@pytest.mark.parametrize(
    ("why", "request_"),
    [
        ("another address", "68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16"),
        ("a wrong checksum", "68 03 00 31 08 22 20 68 11 04 33 33 34 33 00 16"),
        ("a reply of another meter", "68 03 00 31 08 22 20 68 91 08 33 33 34 33 59 33 33 33 AF 16"),
        ("a read of the broadcast address", "68 99 99 99 99 99 99 68 11 04 33 33 34 33 48 16"),
        ("another short address", "68 04 00 AA AA AA AA 68 11 04 33 33 34 33 5A 16"),
        ("half a frame", "68 03 00 31 08 22 20 68 11 04 33"),
    ],
)
def test_a_meter_is_silent_to(why: str, request_: str) -> None:
    right = with_sum if why not in ("a wrong checksum", "half a frame") else bytes.fromhex
    assert ask(make("202208310003"), right(request_)) is None


def test_a_short_address_is_completed_by_whole_bytes() -> None:
    made = make("202208310003")
    for address, answers in (
        ("AAAAAAAA0003", True),
        ("AA2208310003", True),
        ("AAAAAAAAAA03", True),
        ("AAAAAAAA1003", False),
    ):
        data = ask(made, encode(Frame(address, 0x11, bytes((0, 0, 1, 0)))))
        assert (data is not None) is answers
        assert data is None or decode(data).address == "202208310003"


def test_writes_are_refused_and_those_to_everybody_not_even_answered() -> None:
    made = make("202208310003")
    for function in (0x14, 0x15, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C):
        data = ask(made, encode(Frame(made.address, function, bytes(12))))
        assert data is not None
        assert decode(data) == Frame(made.address, 0xC0 | function, b"\x04")
        assert ask(made, encode(Frame("AAAAAAAAAAAA", function, bytes(12)))) is None


def test_a_1997_meter_does_not_understand_2007_and_2007_not_1997() -> None:
    assert ask(make("202208310003", protocol=OLD), encode(Frame("202208310003", 0x11, bytes((0, 0, 1, 0))))) is None
    assert ask(make("202208310003", protocol=OLD), encode(Frame("AAAAAAAAAAAA", 0x13))) is None
    assert ask(make("202208310003"), encode(Frame("202208310003", 0x01, b"\x10\x90"))) is None


def test_a_block_has_the_total_and_as_many_tariffs_as_the_meter() -> None:
    made = make("202208310003")
    made.memory.tariffs = 2
    shown = made.memory.truth.registers("m", NOON)
    block = read(made, "0001FF00").data[4:]
    assert [bcd_of(block[at : at + 4], 2) for at in (0, 4, 8)] == [
        shown[n] for n in ("import", "import_t1", "import_t2")
    ]
    assert len(block) == 12
    assert read(made, "00010300").data == b"\x02"


def test_a_register_at_a_settlement_is_that_of_the_first_of_the_month() -> None:
    made = make("202208310003")
    midnight = made.memory.instant(datetime(2026, 6, 1, tzinfo=UTC))
    assert bcd_of(read(made, "00010002").data[4:], 2) == made.memory.truth.registers("m", midnight)["import"]


def test_negative_power_has_the_sign_bit() -> None:
    made = make("202208310003", said={"power": "-1.2345"})
    assert read(made, "02030000").data[4:] == bytes.fromhex("45 23 81")


def test_a_freeze_says_when_it_was_taken_by_the_meters_own_clock() -> None:
    made = make("202208310003")
    made.memory.clock_ms = 90_000  # a minute and a half fast: it froze that much too early
    truth = made.memory.truth
    midnight = NOON - 12 * HOUR_MS
    assert read(made, "05060002").data[4:] == bytes.fromhex("00 00 05 07 26")
    frozen = bcd_of(read(made, "05060102").data[4:8], 2)
    assert frozen == truth.registers("m", midnight - DAY_MS - 90_000)["import"]
    hour = read(made, "0504FF01", at_ms=NOON + 10 * 60_000).data[4:]
    assert hour[:5] == bytes.fromhex("00 12 06 07 26")
    assert bcd_of(hour[5:9], 2) == truth.registers("m", NOON - 90_000)["import"]
    assert read(made, "0506003F").data == b"\x02", "only 62 days are kept"


def test_a_commanded_freeze_to_everybody_is_taken_in_silence() -> None:
    made = make("202208310003")
    assert read(made, "05010001").data == b"\x02"
    assert ask(made, encode(Frame("999999999999", 0x16, b"\x99" * 4))) is None
    assert read(made, "05010001", at_ms=NOON + HOUR_MS).data[4:] == bytes.fromhex("00 12 06 07 26")


def test_load_records_from_a_time_come_in_the_form_of_the_firmware() -> None:
    made = make("202208310003")
    from_ten = bytes.fromhex("03 00 10 06 07 26")  # three records from 10:00
    records = read(made, "06040001", extra=from_ten).data[4:]
    assert len(records) == 3 * (5 + 16 + 6 + 5)
    first = records[:32]
    assert first[:2] == b"\xa0\xa0"
    assert first[2] == len(first) - 5
    assert first[3:8] == bytes.fromhex("00 10 06 07 26")
    assert first[8:11] == b"\xaa\xaa\xaa"
    assert first[-3:-2] == b"\xaa"
    assert first[-2] == sum(first[:-2]) & 0xFF
    assert first[-1] == 0xE5
    ten = NOON - 2 * HOUR_MS
    assert bcd_of(first[11:15], 2) == made.memory.truth.registers("m", ten)["import"]
    assert records[64 + 3 : 64 + 8] == bytes.fromhex("30 10 06 07 26")
    latest = read(made, "06040002", at_ms=NOON + LOAD_STEP_MS - 1).data[4:]
    assert latest[3:8] == bytes.fromhex("00 12 06 07 26")
    assert read(made, "06040001", extra=bytes.fromhex("01 00 13 06 07 26")).data == b"\x02", "the future"
    assert read(made, "06040001", extra=bytes.fromhex("01 00 99 06 07 26")).data == b"\x02", "no time"


def test_what_does_not_fit_a_frame_follows_part_by_part() -> None:
    made = make("202208310003")
    request = bytes.fromhex("09 00 08 06 07 26")
    whole = made.memory.load_records("06000001", request, NOON)
    assert whole is not None
    assert len(whole) > 600
    frame = read(made, "06000001", extra=request)
    assert (frame.control, len(frame.data)) == (0xB1, 200)
    heard, number = frame.data[4:], 0
    while frame.control & 0x20:
        number += 1
        frame = read(made, "06000001", extra=bytes((number,)), control=0x12)
        assert frame.data[:4] == bytes.fromhex("01 00 00 06")
        assert frame.data[-1] == number
        heard += frame.data[4:-1]
    assert frame.control == 0x92
    assert heard == whole
    assert read(made, "06000001", extra=bytes((number + 1,)), control=0x12).is_error
    again = read(made, "06000001", extra=bytes((1,)), control=0x12)
    assert again.data[4:-1] == whole[196 : 196 + 195], "a lost part may be asked for again"


def test_events_are_counted_when_they_are_over() -> None:
    made = make("202208310003")
    made.memory.events["03300D"] = [Happening(NOON, NOON + 60_000)]
    assert read(made, "03300D00", at_ms=NOON + 1000).data[4:] == b"\0\0\0"
    assert read(made, "03300D00", at_ms=NOON + 60_000).data[4:] == b"\x01\0\0"
    record = read(made, "03300D01", at_ms=NOON + 60_000).data[4:]
    assert len(record) == 60
    assert record[:12] == bytes.fromhex("00 00 12 06 07 26 00 01 12 06 07 26")


def test_a_power_cut_leaves_no_freeze_and_no_load_record() -> None:
    made = make("202208310003")
    ten = NOON - 2 * HOUR_MS
    made.memory.events["0311"] = [Happening(ten - 60_000, ten + 60_000)]
    assert read(made, "05040002").data[:4] == bytes.fromhex("02 00 04 05")
    assert read(made, "05040003").data == b"\x02"
    records = read(made, "06040001", extra=bytes.fromhex("02 00 10 06 07 26")).data[4:]
    assert records[3:8] == bytes.fromhex("15 10 06 07 26")


def test_a_broadcast_time_sets_the_clock_a_little_and_once_a_day() -> None:
    made = make("202208310003")

    def broadcast(field: str) -> int:
        assert ask(made, encode(Frame("999999999999", 0x08, bytes.fromhex(field)))) is None
        return made.memory.clock_ms

    assert broadcast("00 06 12 06 07 26") == 0, "six minutes are too much"
    assert broadcast("30 01 12 06 07 26") == 90_000
    assert broadcast("00 02 12 06 07 26") == 90_000, "once a day"
    assert broadcast("00 61 12 06 07 26") == 90_000, "no time"


def bcd_of(data: bytes, decimals: int) -> Decimal:
    return Decimal(int(data[::-1].hex())).scaleb(-decimals)


def test_delays_stay_within_what_was_asked_for_and_vary() -> None:
    made = make("202208310003")
    made.delay_s = (0.02, 0.5)
    replies = [made.hear(encode(Frame(made.address, 0x11, bytes((0, 0, 1, 0)))), NOON) for _ in range(50)]
    delays = {reply.delay_s for reply in replies if reply is not None}
    assert len(delays) == 50
    assert min(delays) >= 0.02
    assert max(delays) <= 0.5
    assert Fraction(max(delays)) > Fraction(min(delays)) * 2


def test_the_maximum_demand_is_the_highest_quarter_hour_of_the_month_and_its_time():
    made = make("000000000001")
    june = int(datetime(2026, 5, 31, 16, tzinfo=UTC).timestamp()) * 1000
    bounds = [june + n * LOAD_STEP_MS for n in range(30 * 96 + 1)]
    energies = [made.memory.truth.exact("m", t_ms)["import"] for t_ms in bounds]
    demands = [(after - before) * 4 for before, after in pairwise(energies)]
    ended = bounds[demands.index(max(demands)) + 1]
    at_ms = bounds[-1] + 5 * DAY_MS
    data = read(made, "01010001", at_ms=at_ms).data[4:]
    assert data[:3][::-1].hex() == f"{int(max(demands) * 10_000):06d}"
    assert data[3:][::-1].hex() == made.memory.local(ended).strftime("%y%m%d%H%M")
    assert read(make("000000000001", protocol=OLD), "A410", at_ms=at_ms, control=0x01).data[2:] == data[:3]
    assert read(make("000000000001", protocol=OLD), "B410", at_ms=at_ms, control=0x01).data[2:] == data[3:7]


def test_the_demand_of_this_month_grows_and_a_register_that_never_ran_has_none():
    made = make("000000000001")
    midnight = NOON - 12 * HOUR_MS
    first = midnight - (made.memory.local(midnight).day - 1) * DAY_MS
    grown = [read(made, "01010000", at_ms=first + hours * HOUR_MS).data[4:7][::-1] for hours in (1, 12, 48)]
    assert grown == sorted(grown)
    assert grown[0] < grown[-1]
    assert read(made, "01020001").data[4:] == bytes(8)


@pytest.mark.parametrize("kind", ["phase_missing", "phase_reversed", "bypass"])
def test_a_fault_of_a_phase_that_a_meter_has_not_got_changes_nothing(kind: str) -> None:
    config = park([meter("m", phases=1)], [point("m")])
    sound, faulty = (
        Dlt645Meter(Truth(config, SEED, faults=Faults(faults)), config["meters"][0], wake=0)
        for faults in ([], [Fault(kind, "m", amount=2)])
    )
    for di in ("0201FF00", "0202FF00", "0203FF00", "02030000"):
        assert read(faulty, di) == read(sound, di)
