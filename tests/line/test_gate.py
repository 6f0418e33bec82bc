"""Nothing but reads leaves: golden requests, every control code, mutated frames, frames inside frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wires import crc, dlt, rtu

from drivers.errors import ForbiddenRequest
from drivers.gate import permit

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "dlt645-vectors.json").read_text())["vectors"]
DI = bytes.fromhex("00000100")
ADDRESS = bytes.fromhex("020031082220")
READS = {"dlt645-2007": {0x11: {4, 5, 10}, 0x12: {5}, 0x13: {0}}, "dlt645-1997": {0x01: {2}, 0x02: {2}}}
PROTOCOLS = ("dlt645-2007", "dlt645-1997", "modbus-rtu", "modbus-tcp")
WRITES = {5, 6, 8, 15, 16, 21, 22, 23}


def passes(protocol: str, frame: bytes, *, commissioning: bool = False, forbid_unit: int | None = None) -> bool:
    try:
        permit(protocol, frame, commissioning=commissioning, forbid_unit=forbid_unit)
    except ForbiddenRequest:
        return False
    return True


def test_a_refusal_carries_the_bytes_and_the_reason() -> None:
    with pytest.raises(ForbiddenRequest, match="control code 1C is no read") as caught:
        permit("dlt645-2007", dlt(0x1C, bytes(16)), commissioning=True)
    assert caught.value.frame == dlt(0x1C, bytes(16))


def raw_dlt(control: int, wire_data: bytes, address: bytes = ADDRESS) -> bytes:
    """A frame whose data stands as given, without the offset."""
    return dlt(control, bytes(byte - 0x33 & 0xFF for byte in wire_data), address)


def test_every_length_of_read_passes_with_up_to_eight_preamble_bytes() -> None:
    for preamble in range(9):
        front = b"\xfe" * preamble
        assert passes("dlt645-2007", front + dlt(0x11, DI))
        assert passes("dlt645-2007", front + dlt(0x11, DI + b"\x04"))
        assert passes("dlt645-2007", front + dlt(0x11, DI + bytes.fromhex("011500090726")))
        assert passes("dlt645-2007", front + dlt(0x12, DI + b"\x01"))
        assert passes("dlt645-1997", front + dlt(0x01, b"\x10\x90"))
        assert passes("dlt645-1997", front + dlt(0x02, b"\x10\x90"))
    assert not passes("dlt645-2007", b"\xfe" * 9 + dlt(0x11, DI))


def test_of_all_control_codes_and_lengths_only_reads_pass() -> None:
    for protocol, reads in READS.items():
        for control in range(256):
            for length in range(21):
                ok = length in reads.get(control, ()) and control != 0x13
                assert passes(protocol, dlt(control, bytes(length))) is ok, (protocol, control, length)


def test_published_requests_pass_only_if_they_read() -> None:
    seen = {True: 0, False: 0}
    for vector in GOLDEN:
        frame = bytes.fromhex(vector["hex"])
        protocol = f"dlt645-{vector['edition']}"
        if vector["direction"] == "reply":
            assert not any(passes(any_protocol, frame, commissioning=True) for any_protocol in PROTOCOLS)
        elif protocol in READS:
            is_read = frame[9] in READS[protocol].get(frame[8], ()) and frame[1:7] != b"\x99" * 6
            assert passes(protocol, frame, commissioning=True) is is_read, vector["id"]
            seen[is_read] += 1
    assert min(seen.values()) > 0


@pytest.mark.parametrize("address", ["aaaaaaaaaaaa", "0200aaaaaaaa", "02003108aaaa"])
def test_wildcard_addresses_are_for_commissioning(address: str) -> None:
    frame = dlt(0x11, DI, bytes.fromhex(address))
    assert passes("dlt645-2007", frame, commissioning=True)
    assert not passes("dlt645-2007", frame)


def test_the_address_search_is_for_commissioning_and_asks_nobody_in_particular() -> None:
    search = dlt(0x13, b"", b"\xaa" * 6)
    assert passes("dlt645-2007", search, commissioning=True)
    assert not passes("dlt645-2007", search)
    assert not passes("dlt645-2007", dlt(0x13), commissioning=True)
    assert not passes("dlt645-1997", search, commissioning=True)


@pytest.mark.parametrize("address", ["999999999999", "0200310822a0", "aa0031082220", "02aa31082220", "ffffffffffff"])
def test_broadcasts_and_addresses_that_are_none_never_pass(address: str) -> None:
    for commissioning in (False, True):
        assert not passes("dlt645-2007", dlt(0x11, DI, bytes.fromhex(address)), commissioning=commissioning)


def test_nothing_stands_before_or_behind_the_frame() -> None:
    good = dlt(0x11, DI)
    for bad in (
        good + b"\x00",
        b"\x00" + good,
        good + good,
        b"\xfe\x00\xfe" + good,
        good + b"\xfe",
        good[:-1],
        b"",
        b"\xfe",
    ):
        assert not passes("dlt645-2007", bad)


def test_a_wrong_sum_a_wrong_length_and_a_wrong_end_are_refused() -> None:
    good = dlt(0x11, DI)
    for position in range(len(good)):
        for bit in range(8):
            damaged = bytearray(good)
            damaged[position] ^= 1 << bit
            assert not passes("dlt645-2007", bytes(damaged))


def test_a_frame_of_one_protocol_does_not_pass_as_another() -> None:
    assert not passes("dlt645-1997", dlt(0x11, DI))
    assert not passes("dlt645-2007", dlt(0x01, b"\x10\x90"))
    assert not passes("dlt645-2007", rtu(1, 3, 0, 2))
    assert not passes("modbus-rtu", dlt(0x11, DI))
    assert not passes("modbus-ascii", rtu(1, 3, 0, 2))


def test_a_trip_command_that_hides_inside_a_read_is_found() -> None:
    # address byte 68 and data that goes on as a frame: 68 …6… 68 | 1C 00 CS
    address = bytes.fromhex("020068082220")
    outer = bytearray(raw_dlt(0x11, bytes(5), address))
    inner = bytes(outer[3:10]) + b"\x68\x1c\x00"
    data = b"\x68\x1c\x00" + bytes((sum(inner) & 0xFF, 0x16))
    frame = raw_dlt(0x11, data, address)
    assert (0x1C, 3) in dlt_frames_in(frame)  # the test's own decoder agrees that it hides there
    assert not passes("dlt645-2007", frame)
    assert not passes("dlt645-2007", b"\xfe" * 4 + frame)
    assert passes("dlt645-2007", raw_dlt(0x11, data[:3] + bytes((data[3] ^ 1, 0x16)), address))  # harmless: wrong sum


def test_a_modbus_write_that_hides_inside_a_read_is_found() -> None:
    write = b"\x05\x06\x00\x10\x00\x01"
    frame = raw_dlt(0x11, b"\x33" + write + crc(write) + b"\x33")
    assert (6, 11) in modbus_writes_in(frame)
    assert not passes("dlt645-2007", frame)


def test_modbus_reads_pass_within_their_bounds_only() -> None:
    for function in range(256):
        assert passes("modbus-rtu", rtu(1, function, 0, 2)) is (function in (3, 4))
    for unit in range(256):
        assert passes("modbus-rtu", rtu(unit, 3, 0, 2)) is (1 <= unit <= 247)
        assert passes("modbus-rtu", rtu(unit, 4, 0, 2), forbid_unit=104) is (1 <= unit <= 247 and unit != 104)
    for count in (*range(130), 0x7FFF, 0xFFFF):
        assert passes("modbus-rtu", rtu(1, 3, 0, count)) is (1 <= count <= 125)
    assert passes("modbus-rtu", rtu(1, 3, 0xFFFF, 1))
    assert not passes("modbus-rtu", rtu(1, 3, 0xFFFF, 2))
    good = rtu(1, 3, 0, 2)
    for bad in (good + b"\x00", good[:-1], b"\xfe" + good, good[:-2] + b"\x00\x00", good + good):
        assert not passes("modbus-rtu", bad)


def test_modbus_tcp_requests_have_one_shape() -> None:
    def tcp(body: bytes, head: str = "123400000006") -> bytes:
        return bytes.fromhex(head) + body

    read = rtu(1, 3, 0, 2)[:-2]
    assert passes("modbus-tcp", tcp(read))
    assert not passes("modbus-tcp", tcp(rtu(1, 6, 0, 2)[:-2]))
    assert not passes("modbus-tcp", tcp(rtu(0, 3, 0, 2)[:-2]))
    assert not passes("modbus-tcp", tcp(read, "123400000007"))
    assert not passes("modbus-tcp", tcp(read, "123400010006"))
    assert not passes("modbus-tcp", tcp(read) * 2)
    assert not passes("modbus-tcp", read)


def dlt_frames_in(data: bytes) -> list[tuple[int, int]]:
    """(control code, offset) of all that a very liberal decoder would take for a frame: no end byte asked for."""
    found = []
    for at in range(len(data)):
        rest = data[at:]
        if len(rest) >= 11 and rest[0] == rest[7] == 0x68 and len(rest) > 10 + rest[9]:
            end = 10 + rest[9]
            if sum(rest[:end]) % 256 == rest[end]:
                found.append((rest[8], at))
    return found


def modbus_writes_in(data: bytes) -> list[tuple[int, int]]:
    """(function, offset) of all writes with a right CRC at any offset, by the usual length of their function."""
    found = []
    for at in range(len(data) - 3):
        rest = data[at:]
        sizes = {5: 8, 6: 8, 8: 8, 22: 10, 21: 5 + rest[2]}
        if len(rest) > 6:
            sizes |= {15: 9 + rest[6], 16: 9 + rest[6]}
        if len(rest) > 10:
            sizes[23] = 13 + rest[10]
        size = sizes.get(rest[1], len(rest) + 1)
        if rest[1] in WRITES and size <= len(rest) and crc(rest[: size - 2]) == rest[size - 2 : size]:
            found.append((rest[1], at))
    return found


bcd = st.integers(0, 99).map(lambda number: number // 10 << 4 | number % 10)
address_byte = st.one_of(bcd, st.sampled_from([0x68, 0x99, 0xAA, 0xFE, 0x16]), st.integers(0, 255))
data_byte = st.one_of(st.sampled_from([0x68, 0x1C, 0x14, 0x00, 0x16, 0x06]), st.integers(0, 255))
control_codes = st.one_of(st.sampled_from([0x01, 0x02, 0x11, 0x12, 0x13, 0x14, 0x1C]), st.integers(0, 255))
frames = st.builds(
    raw_dlt,
    control_codes,
    st.lists(data_byte, max_size=12).map(bytes),
    st.lists(address_byte, min_size=6, max_size=6).map(bytes),
)
requests = st.one_of(
    frames,
    st.builds(rtu, st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)),
    st.builds(rtu, st.integers(0, 255), st.sampled_from([3, 4, 6, 16]), st.integers(0, 300), st.integers(0, 130)),
    st.binary(max_size=40),
)
# mixes: preambles, frames in a row, a few bytes set, inserted or cut
edits = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 255), st.sampled_from(["set", "insert", "cut"])), max_size=3
)


def edited(data: bytes, changes: list[tuple[int, int, str]]) -> bytes:
    out = bytearray(data)
    for position, value, what in changes:
        if what == "insert":
            out.insert(position, value)
        elif position < len(out) and what == "set":
            out[position] = value
        elif position < len(out):
            del out[position]
    return bytes(out)


@settings(max_examples=700, deadline=None)
@given(
    st.sampled_from(PROTOCOLS),
    st.integers(0, 10),
    st.lists(requests, min_size=1, max_size=2),
    edits,
    st.booleans(),
)
@example("dlt645-2007", 4, [dlt(0x11, DI)], [], False)
@example("dlt645-2007", 0, [dlt(0x13, b"", b"\xaa" * 6)], [], True)
def test_a_liberal_decoder_finds_nothing_but_one_read_in_anything_permitted(
    protocol: str, preamble: int, parts: list[bytes], changes: list[tuple[int, int, str]], commissioning: bool
) -> None:
    frame = edited(b"\xfe" * preamble + b"".join(parts), changes)
    if not passes(protocol, frame, commissioning=commissioning, forbid_unit=104):
        return
    assert modbus_writes_in(frame) == []
    inside = dlt_frames_in(frame)
    if protocol in READS:
        assert len(inside) == 1
        control, at = inside[0]
        assert set(frame[:at]) <= {0xFE}
        assert at <= 8
        assert frame[at + 9] in READS[protocol][control]
        address = frame[at + 1 : at + 7]
        assert address != b"\x99" * 6
        assert commissioning or (0xAA not in address and control != 0x13)
    else:
        assert inside == []
        body = frame[6:] if protocol == "modbus-tcp" else frame[:-2]
        assert body[1] in (3, 4)
        assert 1 <= body[0] <= 247


@settings(max_examples=700, deadline=None)
@given(
    st.sampled_from([(0x11, 4), (0x11, 5), (0x11, 10), (0x12, 5)]),
    st.lists(st.one_of(bcd, st.just(0x68)), min_size=6, max_size=6).map(bytes),
    st.data(),
)
def test_reads_of_addresses_full_of_68_hold_no_second_frame_once_permitted(
    kind: tuple[int, int], address: bytes, more: st.DataObject
) -> None:
    control, length = kind
    data = bytes(more.draw(st.lists(data_byte, min_size=length, max_size=length)))
    frame = b"\xfe" * 4 + raw_dlt(control, data, address)
    harmless = dlt_frames_in(frame) == [(control, 4)] and not modbus_writes_in(frame) and address != b"\x99" * 6
    assert passes("dlt645-2007", frame) is harmless
