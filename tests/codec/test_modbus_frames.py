"""Frames, CRC and finding replies in a stream, against published frames and against pymodbus's own framers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
)

from drivers.errors import Garbled, Refused, Unexpected
from drivers.exchange import ReplyReader
from drivers.modbus import adu
from drivers.modbus.replies import RtuReply, TcpReply

# request, reply, registers; every byte from the source, none from our code
GOLDEN = [
    # Eastron SDM630 register list: phase 1 voltage 230.2 V (wiki.marcluerssen.de, Projects:Modbus Meter)
    ("01 04 00 00 00 02 71 CB", "01 04 04 43 66 33 34 1B 38", (0x4366, 0x3334)),
    # KBR multicomp F144 manual V2.01, page 62: 235.35 V, 110.20 A, 50.012 Hz
    (
        "01 04 00 01 00 06 21 C8",
        "01 04 0C 43 6B 5A B4 42 DC 67 20 42 48 0C 63 AF 7C",
        (0x436B, 0x5AB4, 0x42DC, 0x6720, 0x4248, 0x0C63),
    ),
]
# Circutor CEM-C12 manual M336B01-03-21A, 7.1.1; Modicon PI-MBUS-300's register example with its CRC
GOLDEN_REQUESTS = [
    ("01 03 00 00 00 02 C4 0B", (1, 3, 0, 2)),
    ("11 03 00 6B 00 03 76 87", (0x11, 3, 0x6B, 3)),
]
# MODBUS Application Protocol V1.1b3, 6.3 and 6.4: PDUs
SPECIFICATION = [
    ("03 00 6B 00 03", "03 06 02 2B 00 00 00 64", (3, 0x6B, 3), (555, 0, 100)),
    ("04 00 08 00 01", "04 02 00 0A", (4, 8, 1), (10,)),
]
units = st.integers(1, 247)
functions = st.sampled_from(adu.READ_FUNCTIONS)
words = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125)


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


def fed_whole_and_by_bytes(make: type[RtuReply] | type[TcpReply], request: bytes, stream: bytes) -> bytes | None:
    """The reply found; whole and byte by byte must find the same and notice the same of what comes before it."""
    whole, single = make(request), make(request)
    found = whole.feed(stream)
    found_single = None
    for byte in stream:
        found_single = single.feed(bytes([byte]))
        if found_single is not None:
            break
    assert found == found_single
    if found is None:
        assert whole.noticed == single.noticed
    return found


@given(st.binary(max_size=300))
def test_the_crc_is_the_one_of_pymodbus(data: bytes) -> None:
    swapped = FramerRTU.compute_CRC(data)  # pymodbus gives it as it stands on the wire, first byte high
    assert adu.crc16(data).to_bytes(2, "little") == swapped.to_bytes(2, "big")


def test_the_crc_of_the_specifications_example() -> None:
    # MODBUS over Serial Line V1.02, 6.2.2: address 02, function 07 give 41 12 on the wire
    assert adu.crc16(hexed("02 07")).to_bytes(2, "little") == hexed("41 12")


@pytest.mark.parametrize(("request_text", "reply_text", "registers"), GOLDEN)
def test_published_exchanges_are_read(request_text: str, reply_text: str, registers: tuple[int, ...]) -> None:
    request, reply = hexed(request_text), hexed(reply_text)
    unit, pdu = adu.decode_rtu(request)
    function, address, count = adu.parse_read_request(pdu)
    assert adu.encode_rtu(unit, adu.read_request(function, address, count)) == request
    assert fed_whole_and_by_bytes(RtuReply, request, reply) == reply
    assert adu.registers_in(request, reply) == (function, address, registers)


@pytest.mark.parametrize(("request_text", "fields"), GOLDEN_REQUESTS)
def test_published_requests_are_built_and_parsed(request_text: str, fields: tuple[int, int, int, int]) -> None:
    unit, function, address, count = fields
    request = hexed(request_text)
    assert adu.encode_rtu(unit, adu.read_request(function, address, count)) == request
    assert adu.RequestParser().feed(b"\0\xff" + request) == [(unit, function, address, count, request)]


@pytest.mark.parametrize(("request_text", "reply_text", "asked", "registers"), SPECIFICATION)
def test_the_specifications_pdus(
    request_text: str, reply_text: str, asked: tuple[int, int, int], registers: tuple[int, ...]
) -> None:
    assert adu.read_request(*asked) == hexed(request_text)
    assert adu.parse_read_request(hexed(request_text)) == asked
    assert adu.parse_reply(hexed(reply_text), function=asked[0], count=asked[2]) == registers


@given(units, functions, st.integers(0, 0xFF00), words)
def test_pymodbus_builds_the_same_serial_frames(unit: int, function: int, address: int, registers: list[int]) -> None:
    framer = FramerRTU(DecodePDU(False))
    count = len(registers)
    asks = ReadHoldingRegistersRequest if function == 3 else ReadInputRegistersRequest
    answers = ReadHoldingRegistersResponse if function == 3 else ReadInputRegistersResponse
    request = framer.buildFrame(asks(address=address, count=count, dev_id=unit))
    reply = framer.buildFrame(answers(registers=registers, dev_id=unit))
    assert adu.encode_rtu(unit, adu.read_request(function, address, count)) == request
    (heard,) = adu.RequestParser().feed(request)
    assert adu.reply_to(heard, registers) == reply
    assert RtuReply(request).feed(reply) == reply
    assert adu.registers_in(request, reply) == (function, address, tuple(registers))


@given(st.integers(0, 0xFFFF), units, functions, words)
def test_pymodbus_builds_the_same_tcp_frames(transaction: int, unit: int, function: int, registers: list[int]) -> None:
    framer = FramerSocket(DecodePDU(False))
    count = len(registers)
    asks = ReadHoldingRegistersRequest if function == 3 else ReadInputRegistersRequest
    answers = ReadHoldingRegistersResponse if function == 3 else ReadInputRegistersResponse
    request = framer.buildFrame(asks(address=7, count=count, dev_id=unit, transaction_id=transaction))
    reply = framer.buildFrame(answers(registers=registers, dev_id=unit, transaction_id=transaction))
    assert adu.encode_tcp(transaction, unit, adu.read_request(function, 7, count)) == request
    (heard,) = adu.RequestParser("tcp").feed(request)
    assert adu.reply_to(heard, registers) == reply
    assert fed_whole_and_by_bytes(TcpReply, request, reply) == reply
    assert adu.registers_in(request, reply) == (function, 7, tuple(registers))


@pytest.mark.parametrize("code", [1, 2, 4, 11, 99])
def test_an_exception_is_a_refusal_with_its_code(code: int) -> None:
    request = hexed("01 04 00 00 00 02 71 CB")
    reply = FramerRTU(DecodePDU(False)).buildFrame(ExceptionResponse(4, exception_code=code, device_id=1))
    assert fed_whole_and_by_bytes(RtuReply, request, reply) == reply
    (heard,) = adu.RequestParser().feed(request)
    assert adu.refusal_of(heard, code) == reply
    with pytest.raises(Refused, match=adu.EXCEPTION_NAMES.get(code, "unknown")) as refused:
        adu.registers_in(request, reply)
    assert refused.value.code == code


@given(units, functions, words, st.binary(max_size=40), st.binary(max_size=9))
@settings(max_examples=60)
def test_a_reply_is_found_at_any_offset_in_noise(
    unit: int, function: int, registers: list[int], before: bytes, after: bytes
) -> None:
    request = adu.encode_rtu(unit, adu.read_request(function, 0x10, len(registers)))
    (heard,) = adu.RequestParser().feed(request)
    reply = adu.reply_to(heard, registers)
    reader = RtuReply(request)
    assert reader.feed(before + reply + after) == reply
    assert reader.noticed.noise == len(before) + len(after)


def test_our_own_echo_is_recognised_and_is_no_answer() -> None:
    request, reply = hexed(GOLDEN[0][0]), hexed(GOLDEN[0][1])
    reader = RtuReply(request)
    assert reader.feed(request) is None
    assert (reader.noticed.echo, reader.noticed.noise) == (1, 0)
    assert reader.feed(reply) == reply


def test_the_beginning_of_an_echo_is_no_reply_even_where_its_crc_fits() -> None:
    # a request whose first seven bytes are, by chance, a whole reply of one register
    for low in range(256):
        for unit in range(1, 248):
            request = adu.encode_rtu(unit, adu.read_request(3, 0x0200 | low, 1))
            if adu.crc_is_right(request[:7]):
                reader = RtuReply(request)
                assert reader.feed(request) is None
                assert reader.noticed.echo == 1


def test_a_wrong_crc_is_counted_and_the_good_frame_behind_it_found() -> None:
    request, reply = hexed(GOLDEN[0][0]), hexed(GOLDEN[0][1])
    reader = RtuReply(request)
    assert reader.feed(reply[:-1] + b"\x39") is None
    assert reader.noticed.checksum == 1
    assert reader.feed(reply) == reply


@pytest.mark.parametrize(
    "foreign",
    [
        FramerRTU(DecodePDU(False)).buildFrame(ReadInputRegistersResponse(registers=[1, 2], dev_id=2)),  # another unit
        FramerRTU(DecodePDU(False)).buildFrame(ReadHoldingRegistersResponse(registers=[1, 2], dev_id=1)),  # function
        FramerRTU(DecodePDU(False)).buildFrame(ReadInputRegistersResponse(registers=[1, 2, 3], dev_id=1)),  # count
        FramerRTU(DecodePDU(False)).buildFrame(ReadInputRegistersRequest(address=9, count=2, dev_id=2)),  # a master
        FramerRTU(DecodePDU(False)).buildFrame(ExceptionResponse(4, exception_code=2, device_id=2)),
    ],
)
def test_a_reply_of_another_meter_or_question_is_ignored(foreign: bytes) -> None:
    request, reply = hexed(GOLDEN[0][0]), hexed(GOLDEN[0][1])
    assert fed_whole_and_by_bytes(RtuReply, request, foreign) is None
    reader = RtuReply(request)
    assert reader.feed(foreign + reply) == reply
    assert (reader.noticed.foreign, reader.noticed.noise, reader.noticed.checksum) == (1, 0, 0)


def test_a_damaged_byte_voids_the_frame_it_stands_in() -> None:
    request, reply = hexed(GOLDEN[0][0]), hexed(GOLDEN[0][1])
    reader = RtuReply(request)
    assert reader.feed(reply[:4]) is None
    reader.damage()
    assert reader.feed(reply[4:]) is None  # even if the byte was an extra one
    assert reader.noticed.parity == 1
    assert reader.feed(reply) == reply


def test_tcp_takes_only_the_answer_of_its_transaction_unit_and_length() -> None:
    request = adu.encode_tcp(7, 1, adu.read_request(3, 0, 1))
    pdu = hexed("03 02 12 34")
    late, other_unit = adu.encode_tcp(6, 1, pdu), adu.encode_tcp(7, 2, pdu)
    longer, right = adu.encode_tcp(7, 1, hexed("03 04 12 34 56 78")), adu.encode_tcp(7, 1, pdu)
    reader = TcpReply(request)
    assert reader.feed(late + other_unit + longer + right) == right
    assert reader.noticed.foreign == 3


def not_found_unless_right(reader: ReplyReader, stream: bytes) -> None:
    for start in range(0, len(stream), 7):
        found = reader.feed(stream[start : start + 7])
        assert found is None or adu.crc_is_right(found)


@given(st.binary(max_size=600))
def test_any_bytes_are_survived_and_give_only_frames_with_a_right_crc(stream: bytes) -> None:
    request = hexed(GOLDEN[0][0])
    not_found_unless_right(RtuReply(request), stream)
    fed_whole_and_by_bytes(RtuReply, request, stream)
    fed_whole_and_by_bytes(TcpReply, adu.encode_tcp(1, 1, adu.read_request(4, 0, 2)), stream)
    for found in adu.RequestParser().feed(stream):
        assert adu.crc_is_right(found.raw)
    adu.RequestParser("tcp").feed(stream)


@given(st.lists(st.sampled_from([b"\x01\x04\x04", b"\x01\x84", b"\x01", b"\x04", b"\x00\x00", b"\xff"]), max_size=80))
def test_bytes_that_look_like_beginnings_are_survived(parts: list[bytes]) -> None:
    request, reply = hexed(GOLDEN[0][0]), hexed(GOLDEN[0][1])
    assert fed_whole_and_by_bytes(RtuReply, request, b"".join(parts) + reply) == reply


@given(st.binary(max_size=20))
def test_frames_of_any_bytes_are_refused_clearly(data: bytes) -> None:
    for decode in (adu.decode_rtu, adu.decode_tcp, adu.parse_read_request):
        try:
            decode(data)
        except (Garbled, Unexpected):
            continue
    for count in (1, 3):
        try:
            adu.parse_reply(data, function=3, count=count)
        except (Refused, Unexpected):
            continue


@pytest.mark.parametrize(
    "asked", [(6, 0, 1), (16, 0, 1), (5, 0, 1), (3, 0, 0), (3, 0, 126), (4, 0xFFFF, 2), (3, -1, 1)]
)
def test_nothing_but_a_reading_request_can_be_encoded(asked: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError):
        adu.read_request(*asked)


def test_an_answer_is_only_taken_for_its_own_unit_and_transaction() -> None:
    request, reply = hexed(GOLDEN[0][0]), hexed(GOLDEN[0][1])
    with pytest.raises(Garbled):
        adu.registers_in(request, adu.encode_rtu(2, reply[1:-2]))
    with pytest.raises(Unexpected):
        adu.registers_in(adu.encode_rtu(1, adu.read_request(4, 0, 3)), reply)
    with pytest.raises(Garbled):
        adu.registers_in(
            adu.encode_tcp(1, 1, adu.read_request(4, 0, 2)), adu.encode_tcp(2, 1, hexed("04 04 43 66 33 34"))
        )


def test_every_reply_is_taken_whatever_its_crc_also_where_a_prefix_of_it_is_a_frame_by_crc() -> None:
    """A CRC ending in 00 leaves a shorter frame with a right CRC. Found on a played park at night: it stayed so."""
    request = bytes.fromhex("0c 03 10 1e 00 02 a1 d0")
    assert RtuReply(request).feed(bytes.fromhex("0c 03 04 47 c1 a0 a4 1a 00")) is not None
    for value in range(0x47C00000, 0x47C00000 + 2048):
        body = bytes([0x0C, 0x03, 0x04]) + value.to_bytes(4, "big")
        reply = body + adu.crc16(body).to_bytes(2, "little")
        assert RtuReply(request).feed(reply) == reply
