"""Frames made by hand, tiny reply readers and a scripted port for the tests of the line; nothing of the codecs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from drivers.exchange import Exchange, Noticed
from drivers.ports import Chunk, Settings
from drivers.ports.memory import MemoryPort

SETTINGS = Settings(9600, 8, "N", 1)
START_MS = 1_790_000_000_000


def dlt(control: int, data: bytes = b"", address: bytes = bytes.fromhex("020031082220")) -> bytes:
    """A DL/T 645 frame; `data` without the offset of 33H."""
    body = b"\x68" + address + b"\x68" + bytes((control, len(data))) + bytes(byte + 0x33 & 0xFF for byte in data)
    return body + bytes((sum(body) & 0xFF, 0x16))


def crc(data: bytes) -> bytes:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


def rtu(unit: int, function: int, start: int, count: int) -> bytes:
    frame = bytes((unit, function)) + start.to_bytes(2, "big") + count.to_bytes(2, "big")
    return frame + crc(frame)


def rtu_reply(unit: int, function: int, words: list[int]) -> bytes:
    frame = bytes((unit, function, 2 * len(words))) + b"".join(word.to_bytes(2, "big") for word in words)
    return frame + crc(frame)


class TailReader:
    """Takes as the reply the first tail of the stream that begins with `head`, is `size` long and `check`s."""

    def __init__(self, head: bytes, size: int, check: Callable[[bytes], bool]) -> None:
        self.noticed = Noticed()
        self.heard = bytearray()
        self._head, self._size, self._check = head, size, check

    def feed(self, data: bytes) -> bytes | None:
        for byte in data:
            self.heard.append(byte)
            tail = bytes(self.heard[-self._size :])
            if len(tail) == self._size and tail.startswith(self._head):
                if self._check(tail):
                    return tail
                self.noticed.checksum += 1
        return None

    def damage(self) -> None:
        self.noticed.parity += 1
        self.heard.clear()


def read_rtu(unit: int, start: int, count: int = 2, *, timeout_s: float = 1.0, quiet_s: float = 0.004) -> Exchange:
    """A Modbus RTU read whose reader, as the protocol has it, knows unit, function and length only."""
    return Exchange(
        protocol="modbus-rtu",
        request=rtu(unit, 3, start, count),
        reader=lambda: TailReader(bytes((unit, 3, 2 * count)), 5 + 2 * count, lambda tail: crc(tail[:-2]) == tail[-2:]),
        reply_bytes=5 + 2 * count,
        reply_timeout_s=timeout_s,
        quiet_before_s=quiet_s,
    )


ENERGY_DI = bytes.fromhex("00000100")
ENERGY_REPLY = dlt(0x91, ENERGY_DI + bytes.fromhex("56341200"))


def read_energy(*, timeout_s: float = 1.0, preamble: bytes = b"\xfe" * 4) -> Exchange:
    """A DL/T 645-2007 read of 00010000, answered by ENERGY_REPLY and frames like it."""
    head = ENERGY_REPLY[:14]
    return Exchange(
        protocol="dlt645-2007",
        request=dlt(0x11, ENERGY_DI),
        reader=lambda: TailReader(head, 20, lambda tail: sum(tail[:-2]) & 0xFF == tail[-2] and tail[-1] == 0x16),
        preamble=preamble,
        reply_bytes=20,
        reply_timeout_s=timeout_s,
    )


Event = tuple[float, bytes | Chunk]  # seconds after the request's last byte has left, what the line hears then


class ScriptedPort(MemoryPort):
    """A port whose far side answers by `script`; remembers what was written, when and at which settings."""

    def __init__(self, script: Callable[[bytes], Iterable[Event]] = lambda request: ()) -> None:
        super().__init__("scripted")
        self.script = script
        self.written: list[tuple[float, bytes, Settings | None]] = []

    async def write(self, data: bytes) -> None:
        self._require_open()
        loop = asyncio.get_running_loop()
        self.written.append((loop.time(), data, self.settings))
        assert self.settings is not None
        wire_s = self.settings.seconds(len(data))
        for delay_s, what in self.script(data):
            loop.call_later(wire_s + delay_s, self.deliver, what if isinstance(what, Chunk) else Chunk(what))


def byte_by_byte(start_s: float, data: bytes, each_s: float = 0.0011) -> list[Event]:
    return [(start_s + (index + 1) * each_s, data[index : index + 1]) for index in range(len(data))]
