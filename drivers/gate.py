"""The only way to the wire: re-parses the final bytes and refuses all that is not exactly a reading request (no I/O).

    DL/T 645    [FE × 0–8] 68 A0…A5 68 C L DATA CS 16      2007: C 11, 12, 13    1997: C 01, 02
    Modbus RTU  unit 03|04 address count CRC               TCP: transaction 0000 0006 unit 03|04 address count

The list is code: no configuration widens it. It shares nothing with the codecs that it guards, the checksums included.
It does not know which meters exist, and it cannot see what another master puts on the bus.

A request is refused too if a second frame hides in it. BCD addresses and data may hold 68H, so a meter that lost the
beginning could take an inner part for a frame of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.errors import ForbiddenRequest

MOST_PREAMBLE = 8  # four are usual; more would only be a place to hide in
FE, START, END = 0xFE, 0x68, 0x16
WILDCARD = 0xAA
BROADCAST = b"\x99" * 6
DLT_OVERHEAD = 12

# control code → permitted lengths of DATA
READS_2007: Mapping[int, tuple[int, ...]] = {
    0x11: (4, 5, 10),  # DI; DI and block count; DI, block count and minute of a load record
    0x12: (5,),  # DI and sequence number
    0x13: (0,),  # read address
}
READS_1997: Mapping[int, tuple[int, ...]] = {0x01: (2,), 0x02: (2,)}  # DI
READ_ADDRESS = 0x13

# what a person may broadcast → control code and length of DATA; both editions set the time with 08H
BROADCASTS: Mapping[str, tuple[int, int]] = {"time": (0x08, 6), "freeze": (0x16, 4)}

MODBUS_READS = (3, 4)
MODBUS_UNITS = range(1, 248)
MODBUS_MOST_REGISTERS = 125


def permit(protocol: str, frame: bytes, *, commissioning: bool, forbid_unit: int | None = None) -> None:
    """Returns if `frame`, the whole transmission with its preamble, is one permitted reading request.

    protocol: dlt645-2007, dlt645-1997, modbus-rtu or modbus-tcp. commissioning: an explicit act of a person, who may
    read an unknown address and use wildcards. forbid_unit: a Modbus unit refused on this line, 104 (68H) where DL/T
    meters share it: their frames begin with that byte. Raises ForbiddenRequest, which carries the bytes.
    """
    reason = _objection(protocol, frame, commissioning)
    if reason is None and protocol == "modbus-rtu" and frame[0] == forbid_unit:
        reason = f"unit {forbid_unit} is not addressed on this line"
    if reason is not None:
        raise ForbiddenRequest(f"not sent, {reason}: {frame.hex(' ')}", frame=frame)


def permit_broadcast(kind: str, frame: bytes) -> None:
    """Returns if `frame` is exactly the broadcast `kind`: `time` (08H) or `freeze` (16H, all at once, now).

    For `broadcast.py` alone, an explicit command of a person; no line asks here, and `permit` refuses both.
    Raises ForbiddenRequest, which carries the bytes.
    """
    body = frame.lstrip(b"\xfe")
    control, length = BROADCASTS[kind]
    data = bytes(byte - 0x33 & 0xFF for byte in body[10:-2])
    fits = (
        len(frame) - len(body) <= MOST_PREAMBLE
        and len(body) == DLT_OVERHEAD + length
        and body[:10] == bytes((START, *BROADCAST, START, control, length))
        and body[-2:] == bytes((sum(body[:-2]) & 0xFF, END))
        and (data == b"\x99" * length if kind == "freeze" else all(b >> 4 <= 9 and b & 0xF <= 9 for b in data))
    )
    if not fits:
        raise ForbiddenRequest(f"not sent, no broadcast of {kind}: {frame.hex(' ')}", frame=frame)


def _objection(protocol: str, frame: bytes, commissioning: bool) -> str | None:
    if protocol == "modbus-rtu":
        return _objection_to_rtu(frame)
    if protocol == "modbus-tcp":
        return _objection_to_tcp(frame)
    if protocol == "dlt645-2007":
        return _objection_to_dlt(frame, READS_2007, commissioning)
    if protocol == "dlt645-1997":
        return _objection_to_dlt(frame, READS_1997, commissioning)
    return f"{protocol!r} is no protocol of a meter"


def _objection_to_dlt(frame: bytes, reads: Mapping[int, tuple[int, ...]], commissioning: bool) -> str | None:
    body = frame.lstrip(b"\xfe")
    preamble = len(frame) - len(body)
    if preamble > MOST_PREAMBLE:
        return f"{preamble} preamble bytes"
    if len(body) < DLT_OVERHEAD or body[0] != START or body[7] != START or body[-1] != END:
        return "not a DL/T 645 frame"
    if len(body) != DLT_OVERHEAD + body[9]:
        return f"length byte {body[9]} in a frame of {len(body)}"
    if sum(body[:-2]) & 0xFF != body[-2]:
        return "wrong checksum"
    control, length, address = body[8], body[9], body[1:7]
    if control not in reads:
        return f"control code {control:02X} is no read"
    if length not in reads[control]:
        return f"length {length} is no read with control code {control:02X}"
    return _objection_to_address(address, control, commissioning) or _hidden(frame, preamble)


def _objection_to_address(address: bytes, control: int, commissioning: bool) -> str | None:
    digits = address.rstrip(bytes((WILDCARD,)))  # AA stands in the high bytes, which are sent last
    if address == BROADCAST:
        return "broadcast address"
    if any(byte >> 4 > 9 or byte & 0xF > 9 for byte in digits):
        return "address is not BCD"
    if len(digits) < len(address) and not commissioning:
        return "wildcard address outside commissioning"
    if control == READ_ADDRESS and (digits or not commissioning):
        return "address search outside commissioning or to one meter"
    return None


def _objection_to_rtu(frame: bytes) -> str | None:
    if len(frame) != 8:
        return "not a Modbus RTU request of 8 bytes"
    if _crc(frame[:-2]) != frame[-2] | frame[-1] << 8:
        return "wrong CRC"
    return _objection_to_modbus(frame[:-2])


def _objection_to_tcp(frame: bytes) -> str | None:
    if len(frame) != 12 or frame[2:6] != b"\x00\x00\x00\x06":
        return "not a Modbus TCP request of 12 bytes"
    return _objection_to_modbus(frame[6:])


def _objection_to_modbus(request: bytes) -> str | None:
    unit, function = request[0], request[1]
    start, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
    if unit not in MODBUS_UNITS:
        return f"unit {unit}"
    if function not in MODBUS_READS:
        return f"function {function} is no read"
    if not 1 <= count <= MODBUS_MOST_REGISTERS or start + count > 0x10000:
        return f"{count} registers from {start}"
    return None


def _hidden(frame: bytes, preamble: int) -> str | None:
    """A second frame in the transmission that a receiver could find which hunts at any offset."""
    for offset in range(len(frame) - DLT_OVERHEAD + 1):
        if offset != preamble and _is_dlt_frame(frame[offset:]):
            return f"a second DL/T 645 frame hides at byte {offset}"
    for offset in range(len(frame) - 7):
        if _is_modbus_write(frame[offset:]):
            return f"a Modbus write hides at byte {offset}"
    return None


def _is_dlt_frame(data: bytes) -> bool:
    """Whether `data` begins with a frame by its 68s, length and sum; the 16 at its end is not asked for."""
    if data[0] != START or data[7] != START or len(data) < 11 + data[9]:
        return False
    end = 10 + data[9]
    return sum(data[:end]) & 0xFF == data[end]


def _is_modbus_write(data: bytes) -> bool:
    """Whether `data` begins with an RTU request that changes something, right by length and CRC, to any unit."""
    function = data[1]
    if function in (0x05, 0x06, 0x08):  # write coil, write register, diagnostics (restart, clear counters)
        size = 8
    elif function in (0x0F, 0x10):  # write coils, write registers: byte count at 6
        size = 9 + data[6]
    elif function == 0x15:  # write file record: byte count at 2
        size = 5 + data[2]
    elif function == 0x16:  # mask write register
        size = 10
    elif function == 0x17 and len(data) > 10:  # read and write registers: byte count at 10
        size = 13 + data[10]
    else:
        return False
    return len(data) >= size and _crc(data[: size - 2]) == data[size - 2] | data[size - 1] << 8


def _crc(data: bytes) -> int:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc
