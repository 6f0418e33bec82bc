"""Recognises the one frame that answers a DL/T 645 request, in a stream of anything (no I/O).

    request   A0…A5 | C = f            | DI … [SEQ]
    answer    A0…A5 | C = 80+f or A0+f | DI data [SEQ]      or      C = C0+f | ERR

An answer has the direction bit, the address asked, the function asked, and echoes the DI (and SEQ of a follow-on
read). An error answer carries nothing to match but address and function. All else is counted and dropped: our own
echo, a late answer to an earlier request, another meter, another master.
"""

from __future__ import annotations

from drivers.dlt645.frame import WILDCARD, Frame, Parser
from drivers.exchange import Noticed

ADDRESS_BYTES = 6
# bits of ERR from b0 on, both editions
ERRORS = (
    ("其他错误", "other error"),
    ("无请求数据", "no such data"),
    ("密码错/未授权", "wrong password or not authorised"),
    ("通信速率不能更改", "speed cannot change"),
    ("年时区数超", "too many year zones"),
    ("日时段数超", "too many day periods"),
    ("费率数超", "too many tariffs"),
)


def error_text(err: int) -> tuple[str, str]:
    """(zh, en) of the ERR byte of an error answer."""
    said = [words for bit, words in enumerate(ERRORS) if err >> bit & 1]
    if not said:
        return f"错误 {err:02X}", f"error {err:02X}"
    return "、".join(words[0] for words in said), ", ".join(words[1] for words in said)


def fits(asked: str, answered: str) -> bool:
    """Whether a meter of the address `answered` may answer a request to `asked`.

    Short form: from the highest byte down, AA bytes are skipped until the first real one; from there on all must
    match. Some 1997 and virtual meters answer a wildcard with the wildcard itself.
    """
    if answered == asked:
        return True
    real = asked
    while real.startswith("AA"):
        real = real[2:]
    return real != asked and answered != WILDCARD and answered.endswith(real)


class ReplyReader:
    """Takes exactly the reply to `request`; implements drivers.exchange.ReplyReader.

    di: the DI bytes in wire order that a normal answer must echo. seq: the SEQ that must stand last in it.
    length: the exact length of a normal answer's data, where the function fixes it.
    """

    def __init__(self, request: Frame, *, di: bytes = b"", seq: int | None = None, length: int | None = None) -> None:
        self.noticed = Noticed()
        self._request = request
        self._di = di
        self._seq = seq
        self._length = length
        self._parser = Parser()

    def feed(self, data: bytes) -> bytes | None:
        reply: bytes | None = None
        for frame in self._parser.feed(data):
            if frame == self._request:
                self.noticed.echo += 1
            elif reply is None and self._answers(frame):
                reply = frame.raw
            else:
                self.noticed.foreign += 1
                self.noticed.requests += not frame.is_reply
        self._count()
        return reply

    def damage(self) -> None:
        self._parser.damage()
        self.noticed.parity += 1
        self._count()

    def _count(self) -> None:
        self.noticed.noise = self._parser.noise
        self.noticed.checksum = self._parser.checksum

    def _answers(self, frame: Frame) -> bool:
        if not frame.is_reply or frame.function != self._request.function:
            return False
        if not fits(self._request.address, frame.address):
            return False
        if frame.is_error:
            return 1 <= len(frame.data) <= 2
        if self._length is not None and len(frame.data) != self._length:
            return False
        if self._seq is not None and (len(frame.data) <= len(self._di) or frame.data[-1] != self._seq):
            return False
        return frame.data.startswith(self._di)
