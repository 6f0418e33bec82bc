"""One request and how to know its reply: the form in which every protocol hands work to a line (no I/O).

    quiet_before_s | preamble request | … delay … | [noise, echo, other frames] reply | quiet

A `ReplyReader` is fed every byte that arrives after the request was written. It answers with the reply's exact
bytes once they are complete and can only be the answer to this request, and counts what else it saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class Noticed:
    """What came besides the answer, for diagnosis: counts of bytes or frames."""

    noise: int = 0  # bytes that belong to no frame
    checksum: int = 0  # frames whole by length, wrong by checksum or CRC
    echo: int = 0  # our own request
    foreign: int = 0  # valid frames of another meter, function or item (late answers, other masters)
    requests: int = 0  # of the foreign ones: reading requests, so of another master
    parity: int = 0  # damaged bytes as the port marked them

    def __bool__(self) -> bool:
        return bool(self.noise or self.checksum or self.echo or self.foreign or self.parity)


class ReplyReader(Protocol):
    """Recognises one reply in a stream. Any bytes are survived."""

    noticed: Noticed

    def feed(self, data: bytes) -> bytes | None:
        """Takes what arrived; gives the reply's bytes (no preamble) once complete, else None."""
        ...

    def damage(self) -> None:
        """A byte with a parity or framing error arrived here: whatever it was part of is void."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request ready for the wire.

    request: the bytes from 68 to 16, or unit to CRC, or MBAP header to end; preamble not included.
    reader: makes a fresh ReplyReader for one attempt.
    reply_bytes: length of the expected reply without preamble, 0 if it cannot be known; for pacing and VMIN.
    quiet_before_s: silence on the bus required before the first byte.
    late_s: how long after the request its answer may still begin, although nobody waits for it any more; None: a
    multiple of the timeout. A timeout that was shortened for a quick meter leaves this as it was.
    commissioning: an explicit act of a person (address search): the gate allows 13H and wildcard reads only then.
    """

    protocol: str  # dlt645-2007, dlt645-1997, modbus-rtu, modbus-tcp
    request: bytes
    reader: Callable[[], ReplyReader]
    preamble: bytes = b""
    reply_bytes: int = 0
    reply_timeout_s: float = 1.0
    quiet_before_s: float = 0.02
    late_s: float | None = None
    commissioning: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a line heard.

    request, reply: bytes without preamble. boot_ms: boot clock at mid-read, between the request's first byte and
    the reply's last; wall_ms: UTC in ms at the same instant. latency_s: from the request's last byte on the wire to
    the reply's first byte.
    """

    request: bytes
    reply: bytes
    boot_ms: int
    wall_ms: int
    latency_s: float
    noticed: Noticed = field(default_factory=Noticed)
