"""DL/T 645 frames, 1997 and 2007 alike: bytes to frames and back (no I/O). Knows no identifiers and no values.

    FE…  68 | A0 A1 A2 A3 A4 A5 | 68 | C | L | DATA (L bytes, each +33H mod 256) | CS | 16
         └──────────────── summed mod 256, as transmitted ─────────────────────┘

The address is 12 digits, low byte first: 202208310002 goes 02 00 31 08 22 20. C: D7 from the meter, D6 error, D5 more
frames follow, D4–D0 function. Only DATA is offset. 68, 16 and FE may stand anywhere in address, data and checksum, so
frames end by length and checksum, never by a search for 16.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

START = 0x68
END = 0x16
WAKE = 0xFE
OFFSET = 0x33
OVERHEAD = 12
LONGEST = OVERHEAD + 255  # meters keep to L ≤ 200, some to 170; on receipt everything that L can say is accepted

WILDCARD = "AAAAAAAAAAAA"
BROADCAST = "999999999999"

FROM_METER = 0x80
ERROR = 0x40
MORE = 0x20
FUNCTION = 0x1F

_ADDRESS = re.compile(r"[0-9A-F]{12}")
_ADD = bytes((byte + OFFSET) & 0xFF for byte in range(256))
_SUBTRACT = bytes((byte - OFFSET) & 0xFF for byte in range(256))
_SLICE = 4096  # a port never hands over more; keeps the buffer small whatever a caller feeds


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    address: 12 digits as printed on the meter, highest first; A–F are kept (A is the wildcard's digit).
    control: the byte C. data: DATA in wire order after 33H was removed.
    """

    address: str
    control: int
    data: bytes = b""

    @property
    def raw(self) -> bytes:
        """The bytes from 68 to 16. There is exactly one way to write a frame, so these are also the bytes received."""
        return encode(self)

    @property
    def is_reply(self) -> bool:
        return bool(self.control & FROM_METER)

    @property
    def is_error(self) -> bool:
        return self.control & (FROM_METER | ERROR) == FROM_METER | ERROR

    @property
    def more_follows(self) -> bool:
        return self.control & (FROM_METER | MORE) == FROM_METER | MORE

    @property
    def function(self) -> int:
        return self.control & FUNCTION


def encode(frame: Frame) -> bytes:
    """The bytes from 68 to 16, without FE. Raises ValueError on a malformed address, control or more than 255 bytes."""
    if not _ADDRESS.fullmatch(frame.address):
        raise ValueError(f"address {frame.address!r} is not 12 digits 0–9 or A–F")
    if not 0 <= frame.control <= 0xFF or len(frame.data) > 0xFF:
        raise ValueError(f"control {frame.control} or length {len(frame.data)} does not fit a byte")
    body = bytearray((START,))
    body += bytes.fromhex(frame.address)[::-1]
    body += bytes((START, frame.control, len(frame.data)))
    body += frame.data.translate(_ADD)
    body += bytes((sum(body) & 0xFF, END))
    return bytes(body)


def decode(raw: bytes) -> Frame:
    """Reads bytes that are exactly one frame, 68 to 16. Raises ValueError saying what is wrong."""
    if len(raw) < OVERHEAD or raw[0] != START or raw[7] != START:
        raise ValueError("not a DL/T 645 frame")
    if len(raw) != OVERHEAD + raw[9] or raw[-1] != END:
        raise ValueError(f"length byte says {raw[9]}, the frame has {len(raw) - OVERHEAD}")
    if sum(raw[:-2]) & 0xFF != raw[-2]:
        raise ValueError("wrong checksum")
    return _frame(raw)


class Parser:
    """Finds frames in a stream of any bytes; never raises, never waits, keeps at most one frame's length.

    Every 68 opens a candidate. It dies when +7 is not 68, or 16 is not where L says, or the checksum is wrong; the next
    candidate may begin one byte later. Candidates are judged in the order in which they *end*: the first that is whole
    and right is a frame, and ends all others that overlap it. So a 68 in noise with a large length cannot hold back,
    let alone swallow, a good frame behind it, and the same bytes give the same frames however they were cut. The price:
    a whole valid frame inside the data of another wins over its container. In random data that takes four fixed bytes
    and a checksum to agree (2⁻³² a position), and a container carrying a frame does not occur, since its data would be
    offset by 33H; waiting instead would lose a reply whenever noise held a 68.

    noise: bytes that belong to no frame, preamble FE apart. checksum: candidates whole by length and 16, wrong by sum.
    """

    def __init__(self) -> None:
        self.noise = 0
        self.checksum = 0
        self._buffer = bytearray()
        self._open: list[int] = []  # where candidates begin, ascending

    def feed(self, data: bytes) -> list[Frame]:
        """Takes what arrived; gives the frames that it completed, in order."""
        frames: list[Frame] = []
        for at in range(0, len(data), _SLICE):
            frames += self._take(data[at : at + _SLICE])
        return frames

    def damage(self) -> None:
        """A byte with a parity or framing error arrived here: no candidate can span it."""
        self.noise += _noise(self._buffer)
        self._buffer.clear()
        self._open.clear()

    def _take(self, data: bytes) -> list[Frame]:
        buffer = self._buffer
        seen = len(buffer)
        buffer += data
        self._open += [at for at in range(seen, len(buffer)) if buffer[at] == START]

        ended: list[tuple[int, int]] = []
        waiting: list[int] = []
        for start in self._open:
            if start + 7 < len(buffer) and buffer[start + 7] != START:
                continue
            if start + 9 >= len(buffer) or start + OVERHEAD + buffer[start + 9] > len(buffer):
                waiting.append(start)
            else:
                ended.append((start + OVERHEAD + buffer[start + 9], start))

        frames: list[Frame] = []
        free = 0  # everything before belongs to a frame or is counted as noise
        for end, start in sorted(ended):
            if start < free or buffer[end - 1] != END:
                continue
            if sum(buffer[start : end - 2]) & 0xFF != buffer[end - 2]:
                self.checksum += 1
                continue
            frames.append(_frame(buffer[start:end]))
            self.noise += _noise(buffer[free:start])
            free = end

        waiting = [start for start in waiting if start >= free]
        keep = waiting[0] if waiting else len(buffer)
        self.noise += _noise(buffer[free:keep])
        del buffer[:keep]
        self._open = [start - keep for start in waiting]
        return frames


def _frame(raw: bytes | bytearray) -> Frame:
    return Frame(
        address=bytes(raw[6:0:-1]).hex().upper(),
        control=raw[8],
        data=bytes(raw[10:-2]).translate(_SUBTRACT),
    )


def _noise(data: bytes | bytearray) -> int:
    return len(data) - data.count(WAKE)
