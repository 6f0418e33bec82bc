"""Frames and the resynchronising parser: published bytes, round trips, any noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.dlt645.frame import LONGEST, Frame, Parser, decode, encode

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "dlt645-vectors.json").read_text())

frames = st.builds(
    Frame,
    address=st.text("0123456789ABCDEF", min_size=12, max_size=12),
    control=st.integers(0, 255),
    data=st.binary(max_size=255) | st.binary(max_size=12),
)
# noise that looks like frames: many 68, 16, short and long lengths
wild = st.lists(st.sampled_from([0x68, 0x16, 0xFE, 0x00, 0xFF, 0x91, 0x04]) | st.integers(0, 255), max_size=400).map(
    bytes
)


def frames_by_definition(stream: bytes) -> list[Frame]:
    """What the parser promises, written as plainly as possible: earliest end wins, then goes on behind it."""
    found = []
    free = 0
    for end in range(12, len(stream) + 1):
        for start in range(max(free, end - LONGEST), end - 11):
            try:
                frame = decode(stream[start:end])
            except ValueError:
                continue
            found.append(frame)
            free = end
            break
    return found


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda vector: vector["id"])
def test_a_published_frame_is_read_and_written_back_byte_for_byte(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    [frame] = Parser().feed(b"\xfe" * vector["preamble_fe"] + raw)
    assert frame.address == vector["address"]
    assert frame.control == int(vector["control"], 16)
    assert frame.data == bytes.fromhex(vector["data_minus_33"])
    assert len(frame.data) == vector["length"]
    assert frame.is_reply == (vector["direction"] == "reply")
    assert encode(frame) == raw == frame.raw


def test_a_serial_server_s_own_bytes_before_the_frame_are_noise() -> None:
    [stream] = GOLDEN["streams"]
    parser = Parser()
    [frame] = parser.feed(bytes.fromhex(stream["hex"]))
    assert [frame.raw] == [bytes.fromhex(raw) for raw in stream["valid_frames"]]
    assert parser.noise == 6
    assert parser.checksum == 0


def test_a_published_frame_with_a_wrong_checksum_is_counted_and_not_given() -> None:
    parser = Parser()
    [bad] = GOLDEN["bad_frames"]
    assert parser.feed(bytes.fromhex(bad["hex"])) == []
    assert parser.checksum == 1
    with pytest.raises(ValueError, match="checksum"):
        decode(bytes.fromhex(bad["hex"]))


@given(frames)
def test_a_frame_is_read_back_as_it_was_written(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


@given(st.lists(wild | frames.map(encode), max_size=6), st.data())
def test_the_same_bytes_give_the_same_frames_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    whole, single, chunked = Parser(), Parser(), Parser()
    expected = whole.feed(stream)
    assert [frame for byte in stream for frame in single.feed(bytes((byte,)))] == expected
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [frame for piece in pieces for frame in chunked.feed(piece)] == expected
    assert (whole.noise, whole.checksum) == (single.noise, single.checksum) == (chunked.noise, chunked.checksum)
    assert expected == frames_by_definition(stream)


@given(wild, frames, wild)
def test_a_frame_in_any_noise_is_found_as_soon_as_it_is_whole(before: bytes, frame: Frame, after: bytes) -> None:
    raw = encode(frame)
    assume(frames_by_definition(before + raw) == [*frames_by_definition(before), frame])  # no frame by chance
    parser = Parser()
    found = parser.feed(before + raw)
    assert found[-1] == frame
    assert parser.feed(after) == frames_by_definition(after)


def test_a_false_start_with_a_large_length_does_not_hold_back_the_frame_behind_it() -> None:
    good = bytes.fromhex(GOLDEN["vectors"][0]["hex"])
    false_start = bytes.fromhex("68 00 00 00 00 00 00 68 91 F0")
    parser = Parser()
    assert parser.feed(false_start) == []
    assert [frame.raw for frame in parser.feed(good)] == [good]


def test_a_long_frame_interrupted_by_noise_like_starts_is_still_found() -> None:
    frame = Frame("000000000161", 0x91, bytes([0x35]) * 200)  # every data byte is a 68 on the wire
    assert encode(frame).count(0x68) == 202
    assert Parser().feed(encode(frame)) == [frame]


def test_a_damaged_byte_voids_the_frame_around_it_and_no_other() -> None:
    raw = bytes.fromhex(GOLDEN["vectors"][0]["hex"])
    parser = Parser()
    assert parser.feed(raw[:9]) == []
    parser.damage()
    assert parser.feed(raw[10:]) == []
    assert [frame.raw for frame in parser.feed(raw)] == [raw]
    assert parser.noise == len(raw) - 1


def test_a_whole_frame_inside_another_s_data_wins_however_the_bytes_are_cut() -> None:
    inner = Frame("000000000161", 0x91, b"\x01\x02")
    outer = Frame("000000000161", 0x91, bytes((byte - 0x33) & 0xFF for byte in inner.raw))
    assert inner.raw in outer.raw
    single = Parser()
    assert Parser().feed(outer.raw) == [inner]
    assert [frame for byte in outer.raw for frame in single.feed(bytes((byte,)))] == [inner]
    assert frames_by_definition(outer.raw) == [inner]


def test_bytes_after_a_damaged_one_do_not_complete_what_was_before_it() -> None:
    without_start = b"\x00" + Frame("000000000161", 0x13).raw[1:-2]
    parser = Parser()
    assert parser.feed(b"\x68") == []
    parser.damage()
    assert parser.feed(without_start + bytes((sum(without_start) & 0xFF, 0x16))) == []


def test_memory_stays_bounded_under_a_flood_of_starts() -> None:
    parser = Parser()
    for _ in range(50):
        parser.feed(b"\x68" * 1000)
        assert len(parser._buffer) <= LONGEST
        assert len(parser._open) <= LONGEST


@pytest.mark.parametrize(
    "frame",
    [
        Frame("12345", 0x11),
        Frame("12345678901G", 0x11),
        Frame("123456789012", 0x100),
        Frame("123456789012", 0x11, bytes(256)),
    ],
)
def test_what_does_not_fit_a_frame_is_refused_in_writing(frame: Frame) -> None:
    with pytest.raises(ValueError):
        encode(frame)
