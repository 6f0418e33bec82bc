"""What is said on a bus by others: frames of four protocols cut out of any bytes (no I/O).

    DL/T 645     68 A0…A5 68 C L DATA CS 16                       sum
    DL/T 698.45  68 L L C SA… CA HCS HCS … FCS FCS 16             CRC-16/X-25, L counts all but the two ends
    CJ/T 188     68 T A0…A6 C L DATA CS 16                        sum
    Modbus RTU   unit function … CRC                              by the lengths that the functions have

DL/T 645 and Modbus are decoded elsewhere; the other two are only recognised. Bytes are judged when the bus has paused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from drivers.modbus.adu import crc_is_right

START, END, WAKE = 0x68, 0x16, 0xFE
DLT645_OVERHEAD, CJT188_OVERHEAD = 12, 13
CJT188_TYPES = range(0x10, 0x50)  # water, heat, gas meters and others
DLT698_LEAST = 14
MOST = 4096  # bytes kept without a pause
Protocol = Literal["dlt645", "dlt698.45", "cjt188", "modbus-rtu"]
FIXED, COUNTED = frozenset({1, 2, 3, 4, 5, 6, 15, 16}), frozenset({1, 2, 3, 4, 23})


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it stood on the wire. request: from a master. who: the meter's address or unit, "" if not read."""

    protocol: Protocol
    raw: bytes
    request: bool
    who: str = ""


class Overheard:
    """Collects bytes until a pause, then tells the frames in them. `noise`: bytes of no frame, preamble apart."""

    def __init__(self) -> None:
        self.noise = 0
        self.damaged = 0
        self._buffer = bytearray()
        self._asked: bytes = b""  # unit and function of the last Modbus request without a reply

    def feed(self, data: bytes, damaged: bool = False) -> list[Frame]:
        """Takes what arrived; frames come only with a pause, or when nobody ever pauses."""
        self._buffer += data
        if damaged:
            self.damaged += 1
            return self.pause()
        return self.pause() if len(self._buffer) > MOST else []

    def pause(self) -> list[Frame]:
        """The bus has been silent: what was heard so far is all there is of it."""
        data, frames = bytes(self._buffer), []
        self._buffer.clear()
        at = 0
        while at < len(data):
            frame = self._at(data, at)
            if frame is None:
                self.noise += data[at] != WAKE
                at += 1
            else:
                frames.append(frame)
                at += len(frame.raw)
        return frames

    def _at(self, data: bytes, at: int) -> Frame | None:
        if data[at] == START:
            found = _dlt645(data, at) or _dlt698(data, at) or _cjt188(data, at)
            if found is not None:
                return found
        return self._modbus(data, at)

    def _modbus(self, data: bytes, at: int) -> Frame | None:
        """Requests and replies of eight bytes look alike: what follows a request of the same head is its reply."""
        for size in _modbus_sizes(data, at):
            raw = data[at : at + size]
            if len(raw) == size and crc_is_right(raw):
                is_reply = raw[1] & 0x80 != 0 or raw[:2] == self._asked or size != 8
                if raw[1] in (15, 16) and size != 8:
                    is_reply = False
                self._asked = b"" if is_reply else raw[:2]
                return Frame("modbus-rtu", raw, not is_reply, str(raw[0]))
        return None


def _modbus_sizes(data: bytes, at: int) -> Iterator[int]:
    if at + 4 > len(data) or data[at] > 247:
        return
    function = data[at + 1]
    if function & 0x80 and function & 0x7F in FIXED | COUNTED:
        yield 5
    if function in COUNTED and data[at + 2]:
        yield 5 + data[at + 2]
    if function in FIXED:
        yield 8
    if function in (15, 16) and at + 6 < len(data):
        yield 9 + data[at + 6]


def _dlt645(data: bytes, at: int) -> Frame | None:
    if at + DLT645_OVERHEAD > len(data) or data[at + 7] != START:
        return None
    raw = data[at : at + DLT645_OVERHEAD + data[at + 9]]
    if not _sums_up(raw, DLT645_OVERHEAD + data[at + 9]):
        return None
    return Frame("dlt645", raw, not raw[8] & 0x80, raw[6:0:-1].hex().upper())


def _cjt188(data: bytes, at: int) -> Frame | None:
    if at + CJT188_OVERHEAD > len(data) or data[at + 1] not in CJT188_TYPES:
        return None
    size = CJT188_OVERHEAD + data[at + 10]
    raw = data[at : at + size]
    return Frame("cjt188", raw, not raw[9] & 0x80, raw[8:1:-1].hex().upper()) if _sums_up(raw, size) else None


def _sums_up(raw: bytes, size: int) -> bool:
    return len(raw) == size and raw[-1] == END and sum(raw[:-2]) & 0xFF == raw[-2]


def _dlt698(data: bytes, at: int) -> Frame | None:
    if at + DLT698_LEAST > len(data):
        return None
    size = ((data[at + 1] | data[at + 2] << 8) & 0x3FFF) + 2
    raw = data[at : at + size]
    if size < DLT698_LEAST or len(raw) != size or raw[-1] != END:
        return None
    if _x25(raw[1:-3]) != raw[-3] | raw[-2] << 8:
        return None
    address = raw[5 : 5 + (raw[4] & 0x0F) + 1][::-1].hex().upper()
    return Frame("dlt698.45", raw, not raw[3] & 0x80, address)


def _x25(data: bytes) -> int:
    """CRC-16/X-25, as DL/T 698.45 has it for HCS and FCS."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return crc ^ 0xFFFF
