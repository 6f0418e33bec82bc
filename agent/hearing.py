"""Hears all that comes after a question, instead of one answer: for questions that several meters may answer (no I/O).

    question | silence                → nobody
             | frame … quiet          → one meter
             | frame frame … quiet    → two that spoke one after the other
             | bytes of no frame      → two that spoke at once, or noise

The readers never accept an answer, so a line hears each question's whole time out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.dlt645.frame import Frame, Parser
from drivers.exchange import Noticed
from drivers.modbus.crc import RTU_REPLY_BYTES, crc_is_right

STRAY = 3  # bytes 00 or FF around a good frame: a switching transmitter, not a second meter
EXCEPTION_BYTES = 5


@dataclass(slots=True)
class Heard:
    """replies: whole frames of meters, in order. masters: requests that were not ours. stray: bytes of no frame.
    damaged: bytes lost to parity."""

    replies: list[Frame] = field(default_factory=list)
    masters: list[bytes] = field(default_factory=list)
    rtu: list[tuple[int, bytes]] = field(default_factory=list)  # unit, PDU
    stray: int = 0
    damaged: int = 0
    echo: int = 0
    characters: int = 0

    @property
    def silent(self) -> bool:
        return not (self.replies or self.rtu or self.masters or self.is_dirty)

    @property
    def is_dirty(self) -> bool:
        """Bytes of no frame: with a good frame beside them more than transmitters leave behind."""
        limit = STRAY if self.replies or self.rtu else 0
        return self.stray > limit or self.damaged > limit


class Dlt645Ear:
    """A `drivers.exchange.ReplyReader` that accepts nothing and keeps every frame."""

    def __init__(self, request: Frame) -> None:
        self.noticed = Noticed()
        self._request = request
        self._parser = Parser()
        self._heard = Heard()

    def feed(self, data: bytes) -> bytes | None:
        self._heard.characters += len(data)
        for frame in self._parser.feed(data):
            if frame == self._request:
                self._heard.echo += 1
            elif frame.is_reply:
                self._heard.replies.append(frame)
            else:
                self._heard.masters.append(frame.raw)
        return None

    def damage(self) -> None:
        self._parser.damage()
        self._heard.damaged += 1
        self.noticed.parity += 1

    def heard(self) -> Heard:
        """All of it, once the time is over."""
        self._parser.damage()  # what was begun and never finished is noise
        self._heard.stray = self._parser.noise
        return self._heard


class RtuEar:
    """The same for a Modbus question, given as its frame."""

    def __init__(self, request: bytes) -> None:
        self.noticed = Noticed()
        self._request = request
        self._data = bytearray()
        self._damaged = 0

    def feed(self, data: bytes) -> bytes | None:
        self._data += data
        return None

    def damage(self) -> None:
        self._damaged += 1
        self.noticed.parity += 1

    def heard(self) -> Heard:
        """All of it, once the time is over."""
        heard = Heard(damaged=self._damaged, characters=len(self._data))
        data = bytes(self._data)
        at = 0
        while at < len(data):
            if data.startswith(self._request, at):
                heard.echo += 1
                at += len(self._request)
            elif frame := _rtu_reply(data, at):
                heard.rtu.append((frame[0], frame[1:-2]))
                at += len(frame)
            elif len(data) - at >= 8 and data[at + 1] in (3, 4) and crc_is_right(data[at : at + 8]):
                heard.masters.append(data[at : at + 8])
                at += 8
            else:
                heard.stray += 1
                at += 1
        return heard


def _rtu_reply(data: bytes, at: int) -> bytes:
    """The reply to function 3 or 4 that begins here, empty if none does."""
    if len(data) - at < EXCEPTION_BYTES or not 1 <= data[at] <= 247:
        return b""
    function = data[at + 1]
    if function in (0x83, 0x84):
        size = EXCEPTION_BYTES
    elif function in (3, 4) and data[at + 2] % 2 == 0 and data[at + 2]:
        size = RTU_REPLY_BYTES + data[at + 2]
    else:
        return b""
    frame = data[at : at + size]
    return frame if len(frame) == size and crc_is_right(frame) else b""
