"""A spy on a line: decodes every byte sent as liberally as the worst receiver, and names what is forbidden.

    …68 ?? ?? ?? ?? ?? ?? 68 C L DATA CS…     any offset, across frame borders; the 16 is not asked for
    unit function … CRC                        any offset of one transmission (silences part Modbus frames)

Shares nothing with the codecs or the gate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

READS = {0x01, 0x02, 0x11, 0x12}  # DL/T 645 of both editions; 13H only in commissioning, which nobody does here
MODBUS_WRITES = {0x05, 0x06, 0x08, 0x0F, 0x10, 0x15, 0x16, 0x17, 0x2B}
_WRITING = re.compile(b"[%s]" % re.escape(bytes(MODBUS_WRITES)))
LONGEST_WRITE = 50  # bytes of data; both editions, a read has up to 200
KEPT = 300  # bytes of what was sent before: longer than any frame


@dataclass(slots=True)
class Spy:
    """Given every transmission; `forbidden` names what a liberal receiver could have obeyed."""

    frames: int = 0
    transmissions: int = 0
    forbidden: list[str] = field(default_factory=list)
    # A write that only a receiver deaf to silences and to what meters answer in between could put together, and that
    # not even such a meter would take for its own: a Modbus one, or a DL/T 645 one that is longer than a write may be
    # (its header a checksum of 68 and the 16 behind it) or whose address is none (the preamble of the next request).
    across_silence: int = 0
    _stream: bytearray = field(default_factory=bytearray)

    def hear(self, data: bytes) -> None:
        self.transmissions += 1
        before = len(self._stream)
        self._stream += data
        for start in re.finditer(b"\x68", self._stream):
            at = start.start()
            for control, address, end in _dlt645(self._stream, at):
                if end <= before:
                    continue
                if at < before and not _is_plausible(control, address, self._stream[at + 9]):
                    self.across_silence += 1
                else:
                    self._judge_dlt645(control, address, bytes(self._stream[at:end]))
        for function in re.finditer(_WRITING, self._stream):
            at = function.start() - 1
            end = _modbus_write(self._stream, at, before) if 0 <= at < len(self._stream) - 7 else 0
            if end > before:
                if at >= before:
                    self.forbidden.append(f"modbus {self._stream[at:end].hex()}")
                else:
                    self.across_silence += 1
        if len(data) == 8 and _crc(data[:-2]) == data[-2:]:
            self.frames += 1
            if data[1] not in (3, 4) or not 1 <= data[0] <= 247:
                self.forbidden.append(f"modbus {data.hex()}")
        if len(data) == 12 and data[2:6] == b"\0\0\0\6":
            self.frames += 1
            if data[7] not in (3, 4):
                self.forbidden.append(f"modbus tcp {data.hex()}")
        del self._stream[:-KEPT]

    def _judge_dlt645(self, control: int, address: bytes, frame: bytes) -> None:
        self.frames += 1
        if control & 0x80:
            return  # a meter ignores what comes from a meter
        if control & 0x1F not in READS or address == b"\x99" * 6 or 0xAA in address:
            self.forbidden.append(f"dlt645 {frame.hex()}")


def _is_plausible(control: int, address: bytes, length: int) -> bool:
    """Whether a meter would take this for its own, if it ever heard it."""
    is_address = all(byte == 0xAA or (byte >> 4 <= 9 and byte & 0xF <= 9) for byte in address)
    return is_address and (control & 0x1F in READS or length <= LONGEST_WRITE)


def _dlt645(stream: bytearray, at: int) -> Iterator[tuple[int, bytes, int]]:
    if stream[at] != 0x68 or at + 12 > len(stream) or stream[at + 7] != 0x68:
        return
    end = at + 11 + stream[at + 9]
    if end <= len(stream) and sum(stream[at : end - 1]) & 0xFF == stream[end - 1]:
        yield stream[at + 8], bytes(stream[at + 1 : at + 7]), end


def _modbus_write(stream: bytearray, at: int, before: int) -> int:
    """Where a request that changes something ends, 0 if none begins here or it ended before."""
    function = stream[at + 1]
    lengths = {0x0F: 9 + stream[at + 6], 0x10: 9 + stream[at + 6], 0x15: 5 + stream[at + 2], 0x16: 10}
    size = lengths.get(function, 8)
    if function == 0x17:
        size = 13 + stream[at + 10] if at + 10 < len(stream) else 0
    if not size or not before < at + size <= len(stream):
        return 0
    frame = bytes(stream[at : at + size])
    return at + size if _crc(frame[:-2]) == frame[-2:] else 0


def _crc(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_TABLE = [_entry(byte) for byte in range(256)]
