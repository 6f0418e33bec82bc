"""Modbus frames of the reading functions 3 and 4, on a serial line and over TCP (no I/O).

    RTU   unit | function | … | CRC low | CRC high
    TCP   transaction hi lo | 0 0 | length hi lo | unit | function | …       length counts from unit on

    request     function | address hi lo | count hi lo
    reply       function | byte count | register 1 hi lo | …
    exception   function + 80H | code

The only file that knows pymodbus: its PDU classes build and read what stands between unit and CRC; framing and CRC are
ours. Recognising a reply in a stream is `replies.py`; what registers mean is `registers.py`. There is no way here to
encode a request that writes.
Source: MODBUS Application Protocol V1.1b3, 6.3, 6.4, 7; MODBUS over Serial Line V1.02, 2.5.1, 6.2.2; MODBUS Messaging
on TCP/IP V1.0b, 3.1.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pymodbus.exceptions import ModbusException
from pymodbus.pdu.exceptionresponse import ExceptionResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
)

from drivers.errors import Garbled, Refused, Unexpected
from drivers.modbus.crc import RTU_REPLY_BYTES as RTU_REPLY_BYTES
from drivers.modbus.crc import crc16 as crc16
from drivers.modbus.crc import crc_is_right as crc_is_right

READ_FUNCTIONS = (3, 4)
MAX_COUNT = 125  # registers a request: the reply's byte count is one byte, and an ADU ends at 256
RTU_REQUEST_BYTES = 8
EXCEPTION = 0x80
EXCEPTION_NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
_REQUESTS = {3: ReadHoldingRegistersRequest, 4: ReadInputRegistersRequest}
_REPLIES = {3: ReadHoldingRegistersResponse, 4: ReadInputRegistersResponse}


def encode_rtu(unit: int, pdu: bytes) -> bytes:
    """A serial frame, unit to CRC."""
    body = bytes([unit]) + pdu
    return body + crc16(body).to_bytes(2, "little")


def decode_rtu(frame: bytes) -> tuple[int, bytes]:
    """(unit, PDU) of exactly one serial frame. Raises Garbled: too short, or the CRC is wrong."""
    if not crc_is_right(frame):
        raise Garbled(f"no Modbus RTU frame with a right CRC: {frame.hex(' ')}", frame=frame)
    return frame[0], frame[1:-2]


def encode_tcp(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A TCP frame with its header."""
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


def decode_tcp(frame: bytes) -> tuple[int, int, bytes]:
    """(transaction, unit, PDU) of exactly one TCP frame. Raises Garbled."""
    if len(frame) < 8 or frame[2:4] != b"\0\0" or int.from_bytes(frame[4:6], "big") != len(frame) - 6:
        raise Garbled(f"no Modbus TCP frame: {frame.hex(' ')}", frame=frame)
    return int.from_bytes(frame[:2], "big"), frame[6], frame[7:]


def read_request(function: int, address: int, count: int) -> bytes:
    """The request PDU for `count` registers from `address` (as on the wire, from 0) by function 3 or 4.

    Raises ValueError: another function, a count outside 1…125, an address past 65535.
    """
    if function not in _REQUESTS:
        raise ValueError(f"function {function} is not a reading function (3 or 4)")
    if not 1 <= count <= MAX_COUNT or not 0 <= address <= 0x10000 - count:
        raise ValueError(f"{count} registers from {address} cannot be read in one request")
    return bytes([function]) + _REQUESTS[function](address=address, count=count).encode()


def parse_read_request(pdu: bytes) -> tuple[int, int, int]:
    """(function, address, count) of a request PDU of function 3 or 4. Raises Unexpected."""
    if len(pdu) == 5 and pdu[0] in READ_FUNCTIONS:
        return pdu[0], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    raise Unexpected(f"not a Modbus reading request: {pdu.hex(' ')}", frame=pdu)


def parse_reply(pdu: bytes, *, function: int, count: int) -> tuple[int, ...]:
    """The registers of a reply PDU, 0…65535 each, in address order.

    Raises Refused with the exception's code and name, Unexpected if the PDU answers another function or count.
    """
    if len(pdu) == 2 and pdu[0] == function | EXCEPTION:
        code = pdu[1]
        name = EXCEPTION_NAMES.get(code, "unknown")
        raise Refused(f"the meter refused: exception {code} ({name})", code=code, frame=pdu)
    if len(pdu) != 2 + 2 * count or pdu[0] != function or pdu[1] != 2 * count:
        raise Unexpected(f"not {count} registers of function {function}: {pdu.hex(' ')}", frame=pdu)
    reply = _REPLIES[function]()
    try:
        reply.decode(pdu[1:])
    except ModbusException as error:
        raise Unexpected(f"not a Modbus reply: {pdu.hex(' ')}", frame=pdu) from error
    return tuple(reply.registers)


def registers_in(request: bytes, reply: bytes) -> tuple[int, int, tuple[int, ...]]:
    """(function, first address, registers) of one recorded exchange, RTU or TCP frames as they were on the wire.

    For whoever recomputes a reading from its evidence. Raises Garbled (no frame, another unit or transaction),
    Refused, Unexpected.
    """
    if len(request) == RTU_REQUEST_BYTES and crc_is_right(request):
        asked, answered = decode_rtu(request), decode_rtu(reply)
    else:
        transaction, unit, pdu = decode_tcp(request)
        transaction_back, unit_back, pdu_back = decode_tcp(reply)
        if transaction != transaction_back:
            raise Garbled(f"transaction {transaction_back} does not answer {transaction}", frame=reply)
        asked, answered = (unit, pdu), (unit_back, pdu_back)
    if asked[0] != answered[0]:
        raise Garbled(f"unit {answered[0]} does not answer for unit {asked[0]}", frame=reply)
    function, address, count = parse_read_request(asked[1])
    return function, address, parse_reply(answered[1], function=function, count=count)


# the meter's side, for the simulator


class Request(NamedTuple):
    """A request as a meter hears it. For functions other than 3 and 4 `quantity` is whatever stands in its place."""

    unit: int
    function: int
    address: int
    quantity: int
    raw: bytes


class RequestParser:
    """Finds requests of functions 1 to 6 (eight bytes on a serial line) at any offset in a stream; the rest is skipped.

    transport: `rtu` or `tcp`. It answers nothing and keeps at most one frame's bytes.
    """

    def __init__(self, transport: str = "rtu") -> None:
        self._tcp = transport == "tcp"
        self._size = 12 if self._tcp else RTU_REQUEST_BYTES
        self._last = bytearray()

    def feed(self, data: bytes) -> list[Request]:
        """The requests completed by `data`, in order."""
        found = []
        for byte in data:
            self._last.append(byte)
            del self._last[: -self._size]
            if len(self._last) == self._size and self._is_request():
                raw = bytes(self._last)
                unit, function, *rest = raw[6:] if self._tcp else raw[:-2]
                found.append(Request(unit, function, rest[0] << 8 | rest[1], rest[2] << 8 | rest[3], raw))
                self._last.clear()
        return found

    def damage(self) -> None:
        """A byte was lost here: what it was part of is void."""
        self._last.clear()

    def _is_request(self) -> bool:
        last = self._last
        if self._tcp:
            return last[2:6] == b"\0\0\0\6" and 1 <= last[7] <= 6
        return 1 <= last[1] <= 6 and crc_is_right(bytes(last))


def reply_to(request: Request, registers: Sequence[int]) -> bytes:
    """The frame that answers a reading request with these registers, in the transport of the request."""
    pdu = bytes([request.function]) + _REPLIES[request.function](registers=list(registers)).encode()
    return _framed_like(request, pdu)


def refusal_of(request: Request, code: int) -> bytes:
    """The frame that answers a request with an exception."""
    refused = ExceptionResponse(request.function, exception_code=code)
    return _framed_like(request, bytes([request.function | EXCEPTION]) + refused.encode())


def _framed_like(request: Request, pdu: bytes) -> bytes:
    if len(request.raw) == RTU_REQUEST_BYTES:
        return encode_rtu(request.unit, pdu)
    return encode_tcp(int.from_bytes(request.raw[:2], "big"), request.unit, pdu)
