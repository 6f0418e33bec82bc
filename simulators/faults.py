"""What goes wrong on demand: faults of a meter or of a whole line, each with its time, and what they do to a reply.

A fault is data: kind, whom it hits, from when to when (UTC ms of the truth's time), how much. Replies are changed here,
bytes in, bytes out; silence, echo, second masters and power are the bus's business, false registers the truth's, clocks
and what a meter remembers of a power cut or an opened cover the meter's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from drivers.dlt645.frame import START, Frame, decode, encode
from drivers.modbus.adu import encode_rtu

# kind → meaning of `amount`
METER_FAULTS = {
    "silent": "unused",
    "dying": "probability that it does not answer",
    "late": "seconds added to the delay",
    "bad_checksum": "unused",
    "wrong_address": "unused",
    "wrong_item": "unused",
    "invalid_bcd": "unused",
    "cut": "characters missing at the end",
    "glued": "unused",
    "trailing_ff": "characters FF behind the frame",
    "duplicate": "seconds between the two meters' answers",
    "clock": "seconds the meter's clock is wrong",
    "register": "kWh added to the register",
    "rollover": "unused",  # at its time the register passes through zero, as it would after years
    "bypass": "1, 2 or 3: the phase whose current flows past the meter",
    "other_serial": "unused",
    "cover_open": "unused",
    "terminal_open": "unused",
    "programmed": "unused",
    "cleared": "unused",
    # how the meter really is, other than its configuration says
    "swapped_ab": "unused",  # its two wires: it understands nothing
    "speed": "baud that it is set to",
    "framing": "unused",  # the other of 8E1 and 8N1; silent where the wire cannot carry parity
    "address": "the six high digits of its address",
    "ct": "the ratio that is set in it",
    "phase_missing": "1, 2 or 3",
    "phase_reversed": "1, 2 or 3",
}
LINE_FAULTS = {
    "noise": "probability that a bit is wrong",
    "burst": "characters of rubbish before a reply",
    "echo": "unused",
    "power_cut": "unused",
    "other_master": "seconds between its requests",
}
GATEWAY_FAULTS = {  # of what the agent needs beside its lines; played by simulators/surroundings.py
    "broker_gone": "unused",
    "broker_silent": "unused",  # it takes connections and says nothing
    "disk_full": "KiB that stay free on the data directory's file system",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a meter, line or gateway (its id) from `from_ms` until before `to_ms` (None: for ever)."""

    kind: str
    target: str
    from_ms: int = 0
    to_ms: int | None = None
    amount: float = 0.0

    def active(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms and (self.to_ms is None or at_ms < self.to_ms)


class Faults:
    """All faults of a run; `add` also while it runs."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._of: dict[str, list[Fault]] = {}
        self._kinds: dict[tuple[str, str], list[Fault]] = {}
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        self._of.setdefault(fault.target, []).append(fault)
        self._kinds.setdefault((fault.kind, fault.target), []).append(fault)

    def known(self, kind: str, target: str) -> Sequence[Fault]:
        """Those of a kind, active or not, in the order of the scenario."""
        return self._kinds.get((kind, target), ())

    def find(self, kind: str, target: str, at_ms: int) -> Fault | None:
        """The first active fault of a kind, if any."""
        return next((fault for fault in self.known(kind, target) if fault.active(at_ms)), None)

    def on(self, target: str, at_ms: int) -> list[Fault]:
        """What is wrong with a meter or line now, in the order of the scenario."""
        return [fault for fault in self._of.get(target, ()) if fault.active(at_ms)]


def spoil(reply: bytes, fault: Fault) -> bytes:
    """A reply (FE included) as a faulty meter sends it. Kinds that change no bytes leave it alone."""
    try:
        return _spoilt(reply, fault)
    except (ValueError, IndexError):
        return reply  # other faults have left nothing of it that this one could make worse


def _spoilt(reply: bytes, fault: Fault) -> bytes:
    if fault.kind == "bad_checksum":
        return reply[:-2] + bytes((reply[-2] ^ 0x01, reply[-1]))
    if fault.kind == "cut":
        return reply[: max(1, len(reply) - int(fault.amount))]
    if fault.kind == "trailing_ff":
        return reply + b"\xff" * int(fault.amount)
    if fault.kind == "glued":
        return reply + reply
    change = _CHANGES.get(fault.kind)
    return change(reply) if change else reply


def flip(data: bytes, probability: float, random: Random) -> bytes:
    """Every bit wrong with this probability."""
    return bytes(byte ^ sum(1 << bit for bit in range(8) if random.random() < probability) for byte in data)


def rubbish(count: int, random: Random) -> bytes:
    """So many characters of noise."""
    return bytes(random.getrandbits(8) for _ in range(count))


def collide(one: bytes, other: bytes, offset: int) -> bytes:
    """What is heard when `other` begins `offset` characters after `one`: where both drive the wire, zeros win."""
    heard = bytearray(one.ljust(offset + len(other), b"\xff"))
    for at, byte in enumerate(other, offset):
        heard[at] &= byte
    return bytes(heard)


def _wrong_address(reply: bytes) -> bytes:
    at = reply.find(START)
    if at < 0 or not _is_dlt645(reply):
        return encode_rtu(reply[0] % 247 + 1, reply[1:-2])
    frame = decode(reply[at:])
    number = (int(frame.address) + 1) % 10**12 if frame.address.isdigit() else 1
    return reply[:at] + encode(Frame(f"{number:012d}", frame.control, frame.data))


def _wrong_item(reply: bytes) -> bytes:
    """Another identifier or, for Modbus, another function than asked for."""
    if not _is_dlt645(reply):
        return encode_rtu(reply[0], bytes((reply[1] ^ 0x07,)) + reply[2:-2])
    return _with_data(reply, lambda data: bytes((data[0] ^ 0x01,)) + data[1:] if data else data)


def _invalid_bcd(reply: bytes) -> bytes:
    """The last data byte has a digit above 9; a float register becomes NaN."""
    if not _is_dlt645(reply):
        return encode_rtu(reply[0], reply[1:3] + b"\xff" * (len(reply) - 5))
    return _with_data(reply, lambda data: data[:-1] + b"\x0e" if data else data)


def _with_data(reply: bytes, change: Callable[[bytes], bytes]) -> bytes:
    at = reply.find(START)
    frame = decode(reply[at:])
    return reply[:at] + encode(Frame(frame.address, frame.control, change(frame.data)))


def _is_dlt645(reply: bytes) -> bool:
    body = reply.lstrip(b"\xfe")
    return len(body) >= 12 and body[0] == START and body[7] == START and len(body) == 12 + body[9]


_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "wrong_address": _wrong_address,
    "wrong_item": _wrong_item,
    "invalid_bcd": _invalid_bcd,
}
