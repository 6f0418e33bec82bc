"""Noise models for corrupted answers: what a disturbed wire makes of a frame's bytes (reference reliability.md §7).

    model(random, rival) → disturb(frame) → bytes, always other than the frame

Parity is not honoured: a bit of the line that is no data bit changes nothing, as on an adapter that drops parity.
A *repeatable* model makes a fault that stays while one meter is read: the second look is hit in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, log1p
from random import Random

LINE_BITS = 11  # start, eight data bits, parity, stop (8E1)
Disturb = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Noise:
    """make: (random, rival) → disturb; rival makes the answer that another meter would give to the same question."""

    name: str
    make: Callable[[Random, Disturb], Disturb]
    repeatable: bool = False
    apart: bool = False  # a fault of software or converter, not of the line: counted apart


def _flips(count: int) -> Noise:
    def make(random: Random, rival: Disturb) -> Disturb:
        draw = random.random

        def disturb(frame: bytes) -> bytes:
            data, bits = bytearray(frame), 8 * len(frame)
            hit: set[int] = set()
            while len(hit) < count:
                bit = int(draw() * bits)
                if bit not in hit:
                    hit.add(bit)
                    data[bit >> 3] ^= 1 << (bit & 7)
            return bytes(data)

        return disturb

    return Noise(f"exactly {count} bits", make)


def _bit_errors(rate: float) -> Noise:
    """Every data bit wrong with this probability, given that one is."""
    per_bit = log1p(-rate)

    def make(random: Random, rival: Disturb) -> Disturb:
        draw = random.random

        def disturb(frame: bytes) -> bytes:
            data, bits = bytearray(frame), 8 * len(frame)
            some = 1 - (1 - rate) ** bits
            bit = int(log1p(-draw() * some) / per_bit)
            while bit < bits:
                data[bit >> 3] ^= 1 << (bit & 7)
                bit += 1 + int(log(1 - draw()) / per_bit)
            return bytes(data) if data != frame else disturb(frame)

        return disturb

    return Noise(f"bit errors {rate:.0e}", make)


def _burst(length: int) -> Noise:
    """So many bits of the line in a row, the first and the last wrong, each between them with probability ½."""

    def make(random: Random, rival: Disturb) -> Disturb:
        def disturb(frame: bytes) -> bytes:
            data = bytearray(frame)
            while data == frame:
                start = random.randrange(1 - length, LINE_BITS * len(frame))
                mask = 1 | 1 << (length - 1) | random.getrandbits(length)
                for offset in range(length):
                    byte, bit = divmod(start + offset, LINE_BITS)
                    if mask >> offset & 1 and 0 <= byte < len(data) and 1 <= bit <= 8:
                        data[byte] ^= 1 << (bit - 1)
            return bytes(data)

        return disturb

    return Noise(f"burst of {length} line bits", make)


def _random_bytes(random: Random, rival: Disturb) -> Disturb:
    def disturb(frame: bytes) -> bytes:
        data = bytearray(frame)
        while data == frame:
            for _ in range(2):
                data[random.randrange(len(data))] = random.getrandbits(8)
        return bytes(data)

    return disturb


def _garbage(random: Random, rival: Disturb) -> Disturb:
    def disturb(frame: bytes) -> bytes:
        data = frame
        while data == frame:
            at = random.randrange(len(frame) - 3)
            data = frame[:at] + random.randbytes(4) + frame[at + 4 :]
        return data

    return disturb


def _slip(random: Random, rival: Disturb) -> Disturb:
    """A byte lost at one place, a random one inserted at another."""

    def disturb(frame: bytes) -> bytes:
        data = bytearray(frame)
        while data == frame:
            data = bytearray(frame)
            del data[random.randrange(len(data))]
            data.insert(random.randrange(len(data) + 1), random.getrandbits(8))
        return bytes(data)

    return disturb


def _collision(random: Random, rival: Disturb) -> Disturb:
    """A second meter of the same address answers too, up to three characters later or earlier; zeros win."""

    def disturb(frame: bytes) -> bytes:
        data = frame
        while data == frame:
            other, offset = rival(frame), random.randrange(-3, 4)
            shifted = b"\xff" * max(0, offset) + other[max(0, -offset) :]
            length = max(len(frame), len(shifted))
            pairs = zip(frame.ljust(length, b"\xff"), shifted.ljust(length, b"\xff"), strict=True)
            data = bytes(one & two for one, two in pairs)
        return data

    return disturb


def _stuck_bit(random: Random, rival: Disturb) -> Disturb:
    """One data line bit is always 0, or always 1, in all bytes."""
    bit, high = 1 << random.randrange(8), random.random() < 0.5
    table = bytes(byte | bit if high else byte & ~bit for byte in range(256))
    return lambda frame: frame.translate(table)


def _exchanged(random: Random, rival: Disturb) -> Disturb:
    """Two bytes change places, the same two whatever is asked: a fault of software or converter."""
    one, other = random.random(), random.random()

    def disturb(frame: bytes) -> bytes:
        data = bytearray(frame)
        first, second = int(one * len(data)), int(other * len(data))
        data[first], data[second] = data[second], data[first]
        return bytes(data)

    return disturb


MODELS: tuple[Noise, ...] = (
    *(_bit_errors(rate) for rate in (1e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    *(_flips(count) for count in (2, 3, 4, 6)),
    *(_burst(length) for length in (9, 12, 18, 24, 36)),
    Noise("2 random bytes", _random_bytes),
    Noise("4 bytes of garbage", _garbage),
    Noise("byte lost, byte inserted", _slip),
    Noise("two meters at once", _collision),
    Noise("stuck data bit", _stuck_bit, repeatable=True),
    Noise("two bytes exchanged", _exchanged, repeatable=True, apart=True),
)
