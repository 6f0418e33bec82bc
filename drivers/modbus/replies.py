"""Recognises the one reply to a Modbus request in a stream of bytes (no I/O).

    RTU   [noise, echo, foreign frames]  unit | function | byte count | registers | CRC
                                     or  unit | function + 80H | code | CRC
    TCP   [foreign frames]  transaction | 0 0 | length | unit | function | byte count | registers

The reply is seen at the byte that ends it: the last so many bytes begin as the reply must, have its length and, on a
serial line, a right CRC. Pauses mean nothing here. An RTU reply does not carry the address of its registers, so a late
answer of the same length to an earlier request looks right: asking in two lengths is `meter.py`'s guard against that.
"""

from __future__ import annotations

from drivers.exchange import Noticed
from drivers.modbus.adu import EXCEPTION, RTU_REPLY_BYTES, crc_is_right, decode_rtu, decode_tcp, parse_read_request

_FIXED_FUNCTIONS = frozenset({1, 2, 3, 4, 5, 6, 15, 16})  # eight bytes as request, or as reply to a write
_COUNTED_FUNCTIONS = frozenset({1, 2, 3, 4, 23})  # replies with a byte count
_REQUEST_BYTES = 8
_READS = (3, 4)  # replies to these have an odd length, so eight bytes of them are a request
_RTU_REFUSAL_BYTES = 5
_TCP_REFUSAL_BYTES = 9


class _Finder:
    """What both transports share: bytes wait in `_pending` until they prove to be a frame, or can begin none."""

    def __init__(self, request: bytes, head: bytes, size: int, refusal_head: bytes, refusal_size: int) -> None:
        self.noticed = Noticed()
        self._request = request
        self._answers = ((head, size), (refusal_head, refusal_size))
        self._pending = bytearray()
        self._tested = 0  # lengths up to here were tried for a foreign frame at the front

    def feed(self, data: bytes) -> bytes | None:
        """Takes what arrived; gives the reply's bytes once complete, else None. What follows a reply is noise."""
        for position, byte in enumerate(data):
            self._pending.append(byte)
            self.noticed.noise += 1  # until it proves to be part of a frame
            reply = self._reply_ending_here()
            if reply is not None:
                self.noticed.noise += len(data) - position - 1 - len(reply)
                self._drop(len(self._pending))
                return reply
            self._sort_out()
        return None

    def damage(self) -> None:
        """A damaged byte: no frame reaches across it."""
        self.noticed.parity += 1
        self._drop(len(self._pending))

    def _reply_ending_here(self) -> bytes | None:
        for head, size in self._answers:
            start = len(self._pending) - size
            if start >= 0 and self._pending.startswith(head, start):
                frame = bytes(self._pending[start:])
                # the first bytes of our echo can, once in 65,536 requests, look like a reply of one register
                if self._is_whole(frame) and not self._request.startswith(frame):
                    return frame
        return None

    def _sort_out(self) -> None:
        """Drops from the front whole frames that are not the reply, and bytes that can begin none."""
        while self._pending:
            size = self._foreign_size()
            if size is None:
                return
            self.noticed.noise -= size
            self._drop(size or 1)

    def _foreign_size(self) -> int | None:
        """Length of the frame at the front, 0 if none begins there, None while it may still become one."""
        pending = self._pending
        if self._request.startswith(pending[: len(self._request)]):
            if len(pending) < len(self._request):
                return None
            self.noticed.echo += 1
            return len(self._request)
        if any(len(pending) < size and pending.startswith(head) for head, size in self._answers):
            return None  # one reply in 256 has a CRC ending in 00: without that byte it is, by CRC, a whole frame too
        sizes = self._possible_sizes()
        for size in sizes:
            if self._tested < size <= len(pending) and self._is_whole(bytes(pending[:size])):
                self.noticed.foreign += 1
                self.noticed.requests += size == _REQUEST_BYTES and pending[1] in _READS
                return size
        self._tested = len(pending)
        if any(size > len(pending) for size in sizes):
            return None
        if any(pending.startswith(head) and len(pending) >= size for head, size in self._answers):
            self.noticed.checksum += 1  # its bytes stay counted as noise
        return 0

    def _drop(self, size: int) -> None:
        del self._pending[:size]
        self._tested = 0

    def _possible_sizes(self) -> tuple[int, ...]:
        """Lengths of a frame beginning at the front; one more than is pending while that cannot be told yet."""
        raise NotImplementedError

    def _is_whole(self, frame: bytes) -> bool:
        raise NotImplementedError


class RtuReply(_Finder):
    """The `ReplyReader` for one RTU reading request, given as its frame. Raises Garbled, Unexpected if it is none."""

    def __init__(self, request: bytes) -> None:
        unit, pdu = decode_rtu(request)
        function, _, count = parse_read_request(pdu)
        head = bytes([unit, function, 2 * count])
        super().__init__(
            request, head, RTU_REPLY_BYTES + 2 * count, bytes([unit, function | EXCEPTION]), _RTU_REFUSAL_BYTES
        )

    def _possible_sizes(self) -> tuple[int, ...]:
        pending = self._pending
        if len(pending) < 2:
            return (2,)
        function = pending[1]
        if function & EXCEPTION:
            return (_RTU_REFUSAL_BYTES,) if function & ~EXCEPTION in _FIXED_FUNCTIONS | _COUNTED_FUNCTIONS else ()
        sizes: tuple[int, ...] = (8,) if function in _FIXED_FUNCTIONS else ()
        if function in _COUNTED_FUNCTIONS:
            sizes += (RTU_REPLY_BYTES + pending[2] if len(pending) > 2 else 3,)
        return sizes

    def _is_whole(self, frame: bytes) -> bool:
        return crc_is_right(frame)


class TcpReply(_Finder):
    """The `ReplyReader` for one TCP reading request, given as its frame. Raises Garbled, Unexpected if it is none."""

    def __init__(self, request: bytes) -> None:
        _, unit, pdu = decode_tcp(request)
        function, _, count = parse_read_request(pdu)
        transaction = request[:2]
        head = transaction + b"\0\0" + (3 + 2 * count).to_bytes(2, "big") + bytes([unit, function, 2 * count])
        refusal_head = transaction + b"\0\0\0\3" + bytes([unit, function | EXCEPTION])
        super().__init__(request, head, len(head) + 2 * count, refusal_head, _TCP_REFUSAL_BYTES)

    def _possible_sizes(self) -> tuple[int, ...]:
        pending = self._pending
        if any(pending[2:4]):
            return ()
        if len(pending) < 6:
            return (6,)
        length = pending[4] << 8 | pending[5]
        return (6 + length,) if 2 <= length <= 254 else ()

    def _is_whole(self, frame: bytes) -> bool:
        return frame[2:4] == b"\0\0" and int.from_bytes(frame[4:6], "big") == len(frame) - 6
