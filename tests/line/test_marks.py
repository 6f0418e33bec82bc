"""The kernel's parity marks, taken out of the stream however it is cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drivers.ports.marks import MarkReader

# what the UART got: a byte and whether it was damaged
received = st.lists(st.tuples(st.one_of(st.sampled_from([0xFF, 0x00]), st.integers(0, 255)), st.booleans()))


def as_marked(characters: list[tuple[int, bool]]) -> bytes:
    """What a terminal with INPCK and PARMRK hands over, after termios(3)."""
    marked = bytearray()
    for byte, damaged in characters:
        marked += bytes((0xFF, 0x00, byte)) if damaged else b"\xff\xff" if byte == 0xFF else bytes((byte,))
    return bytes(marked)


def told(pieces: list[bytes]) -> list[int | None]:
    """Good bytes and, where one was damaged, None."""
    reader = MarkReader()
    seen: list[int | None] = []
    for piece in pieces:
        for chunk in reader.feed(piece):
            assert chunk.data or chunk.damaged
            seen += list(chunk.data) + [None] * chunk.damaged
    return seen


@given(received, st.lists(st.integers(0, 600)))
def test_marks_are_read_right_wherever_the_stream_is_cut(characters: list[tuple[int, bool]], cuts: list[int]) -> None:
    marked = as_marked(characters)
    edges = [0, *sorted(cut for cut in cuts if cut < len(marked)), len(marked)]
    pieces = [marked[start:end] for start, end in pairwise(edges)]
    expected = [None if damaged else byte for byte, damaged in characters]
    assert told(pieces) == expected
    assert told([marked[at : at + 1] for at in range(len(marked))]) == expected


@given(st.lists(st.binary()))
def test_any_bytes_are_survived(pieces: list[bytes]) -> None:
    told(pieces)


def test_a_damaged_byte_ends_its_chunk() -> None:
    chunks = MarkReader().feed(bytes.fromhex("6811ff003516ffff"))
    assert [(chunk.data.hex(), chunk.damaged) for chunk in chunks] == [("6811", True), ("16ff", False)]
