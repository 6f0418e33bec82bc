"""A small campaign against the gate, and a spy that would see what is forbidden."""

from __future__ import annotations

import pytest
from wires import crc, dlt, rtu

from bench.campaign_gate import run
from bench.spy import Spy


def test_nothing_but_reads_leaves_under_fuzzed_configurations_and_answers():
    tally = run(40, 1500, "3")
    assert tally["configurations"] >= 40
    assert tally["answers"] >= 1500
    assert tally["frames"] >= 1500
    assert tally["forbidden"] == 0


WRITE = b"\x01\x06\x00\x01\x00\x07"


@pytest.mark.parametrize(
    "sent",
    [
        [dlt(0x14, bytes(12))],
        [dlt(0x1C, bytes(16))],
        [dlt(0x08, bytes(6), address=b"\x99" * 6)],
        [dlt(0x11, bytes(4), address=b"\x99" * 6)],
        [dlt(0x11, bytes(4), address=b"\xaa" * 6)],
        [b"\x68\x68" + dlt(0x14, bytes(12))],
        [dlt(0x14, bytes(12))[:9], dlt(0x14, bytes(12))[9:]],
        [WRITE + crc(WRITE)],
        [b"\x00" + WRITE + crc(WRITE)],
        [rtu(0, 3, 0, 1)],
        [b"\0\1\0\0\0\6\1\6\0\1\0\1"],
    ],
)
def test_the_spy_sees_what_is_forbidden(sent: list[bytes]):
    spy = Spy()
    for data in sent:
        spy.hear(data)
    assert spy.forbidden


def test_an_impossibly_long_write_stitched_from_many_reads_is_counted_apart():
    """As met in 10^6 fuzzed requests: a checksum of 68, the 16 behind it, and FE of the next preamble as length."""
    header = bytes.fromhex("68 110462343738 68 16 fe")
    body = bytes(254)
    frame = header + body
    frame += bytes([sum(frame) & 0xFF])
    spy = Spy()
    spy.hear(frame[:9])
    spy.hear(frame[9:])
    assert (spy.forbidden, spy.across_silence) == ([], 1)
    whole = Spy()
    whole.hear(frame)
    assert whole.forbidden


def test_a_write_stitched_to_an_address_of_preambles_is_counted_apart():
    """As met: data 68, checksum and 16 of one request, the preamble and the first bytes of the next."""
    spy = Spy()
    spy.hear(bytes.fromhex("68f416"))
    spy.hear(bytes.fromhex("fefefefe6804013108"))
    assert (spy.forbidden, spy.across_silence) == ([], 1)


def test_a_stitched_write_that_a_meter_could_take_for_its_own_is_forbidden():
    spy = Spy()
    write = dlt(0x14, bytes(12))
    spy.hear(write[:9])
    spy.hear(write[9:])
    assert spy.forbidden


def test_the_spy_has_nothing_against_reads():
    spy = Spy()
    for data in (dlt(0x11, bytes(4)), b"\xfe" * 4 + dlt(0x12, bytes(5)), rtu(1, 3, 0, 2), dlt(0x91, bytes(8))):
        spy.hear(data)
    assert spy.forbidden == []
    assert spy.frames == 4
