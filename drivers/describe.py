"""Says what bytes on a meter line mean, for people and for `hubiao frame` (no I/O).

Finds every valid DL/T 645 frame at any offset; a Modbus RTU frame only where it is all there is, since a CRC alone
marks neither its beginning nor its end. Describes, never judges: an impossible value is null with its bytes.
The form of the objects is fixed in contract.md §6.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from drivers.dlt645 import frame as dlt645
from drivers.dlt645.formats import Digits, Format, Moment, Speed
from drivers.dlt645.frame import Frame
from drivers.dlt645.identifiers import decode_1997, decode_2007, lookup
from drivers.dlt645.replies import error_text
from drivers.modbus.adu import crc_is_right
from drivers.quantities import RegisterValue

# function → the only edition that has it. 08H is in both with the same layout: the 2007 meaning is the one in use.
# 03H is told by its content
EDITIONS = {
    **dict.fromkeys((0x01, 0x02, 0x04, 0x0A, 0x0C, 0x0F, 0x10), "1997"),
    **dict.fromkeys((0x08, *range(0x11, 0x1E)), "2007"),
}
SECURITY_CLASS = 0x07  # DI3 of everything that 03H of the 2007 edition carries

FUNCTIONS = {
    0x03: ("重读数据", "read again"),
    0x04: ("写数据", "write"),
    0x08: ("广播校时", "broadcast time"),
    0x0A: ("写设备地址", "write address"),
    0x0C: ("更改通信速率", "change speed"),
    0x0F: ("修改密码", "change password"),
    0x10: ("最大需量清零", "clear maximum demand"),
    0x13: ("读通信地址", "read address"),
    0x14: ("写数据", "write"),
    0x15: ("写通信地址", "write address"),
    0x16: ("冻结命令", "freeze"),
    0x17: ("更改通信速率", "change speed"),
    0x18: ("修改密码", "change password"),
    0x19: ("最大需量清零", "clear maximum demand"),
    0x1A: ("电表清零", "clear meter"),
    0x1B: ("事件清零", "clear events"),
    0x1C: ("跳合闸、报警、保电", "relay, alarm, keep power"),
    0x1D: ("多功能端子输出控制", "multi-function output"),
}
READS_2007, WRITE_2007, WRITE_1997 = (0x11, 0x12), 0x14, 0x04
READS_1997 = (0x01, 0x02)
FOLLOW_2007 = 0x12
CLEAR_EVENTS = 0x1B
AUTHORITY_2007, AUTHORITY_1997 = 8, 4  # PA P0–P2 C0–C3; PA P0–P2


class Field(NamedTuple):
    """What a frame without DI carries: (function, from the meter) → this."""

    name: str
    format: Format
    unit: str = ""


FIELDS: dict[tuple[int, bool], Field] = {
    (0x08, False): Field("clock", Moment("YYMMDDhhmmss")),
    (0x0A, False): Field("address", Digits(6, hexadecimal=True)),
    (0x13, True): Field("address", Digits(6, hexadecimal=True)),
    (0x15, False): Field("address", Digits(6, hexadecimal=True)),
    (0x16, False): Field("freeze_at", Digits(4)),
    (0x0C, False): Field("speed", Speed(), "Bd"),
    (0x0C, True): Field("speed", Speed(), "Bd"),
    (0x17, False): Field("speed", Speed(), "Bd"),
    (0x17, True): Field("speed", Speed(), "Bd"),
}

MODBUS_READ_REGISTERS, MODBUS_READ_BITS = (3, 4), (1, 2)
MODBUS_WRITE_ONE, MODBUS_WRITE_MANY = (5, 6), (15, 16)


def describe(data: bytes, *, zh: bool = False) -> list[dict[str, Any]]:
    """One object for each frame in these bytes, in order; bytes that belong to none are skipped.

    zh: names of identifiers and functions in Chinese, else English.
    """
    frames = dlt645.Parser().feed(data)
    if frames:
        return [_dlt645(frame, zh) for frame in frames]
    return [_modbus(data)] if crc_is_right(data) else []


def edition_of(frame: Frame) -> str | None:
    """ "1997" or "2007" by function and content, None where both fit."""
    if frame.function != 0x03:
        return EDITIONS.get(frame.function)
    if frame.is_error:
        return "2007" if len(frame.data) == 2 else None
    if not frame.data:
        return None if frame.is_reply else "1997"
    if len(frame.data) >= 4 and frame.data[3] == SECURITY_CLASS:
        return "2007"
    return "1997" if frame.is_reply and lookup(_high_first(frame.data[:2])) else None


def _dlt645(frame: Frame, zh: bool) -> dict[str, Any]:
    edition = edition_of(frame)
    di = None if frame.is_error else _di(frame, edition)
    return {
        "protocol": "dlt645",
        "edition": edition,
        "direction": "reply" if frame.is_reply else "request",
        "address": frame.address,
        "control": f"{frame.control:02X}",
        "error": frame.data.hex().upper() if frame.is_error else None,
        "length": len(frame.data),
        "di": di,
        "name": _name(frame, di, zh),
        "values": [] if frame.is_error else [_value(value) for value in _values(frame, di)],
    }


def _di(frame: Frame, edition: str | None) -> str | None:
    data, function = frame.data, frame.function
    if edition == "1997":
        has_one = function in (*READS_1997, 0x03) or (function == WRITE_1997 and not frame.is_reply)
        # masters that look for the edition ask 1997 meters with the 2007 identifier
        size = 4 if function in READS_1997 and not frame.is_reply and len(data) == 4 else 2
    else:
        has_one = function in READS_2007 or (function == 0x03 and edition == "2007")
        has_one |= function in (WRITE_2007, 0x18, CLEAR_EVENTS) and not frame.is_reply
        size = 4
        if function == CLEAR_EVENTS:
            data = data[AUTHORITY_2007:]
    return _high_first(data[:size]) if has_one and len(data) >= size else None


def _name(frame: Frame, di: str | None, zh: bool) -> str | None:
    if frame.is_error:
        words = error_text(frame.data[0] if frame.data else 0)
        return f"异常应答:{words[0]}" if zh else f"error reply: {words[1]}"
    if di is not None:
        found = lookup(di)
        return None if found is None else found.zh if zh else found.en
    names = FUNCTIONS.get(frame.function)
    return None if names is None else names[0] if zh else names[1]


def _values(frame: Frame, di: str | None) -> list[RegisterValue]:
    """What the frame carries. A reading request carries nothing; a part of a longer answer is left as bytes."""
    field = FIELDS.get((frame.function, frame.is_reply))
    if field is not None:
        return [_field(field, frame.data)] if frame.data else []
    if di is None:
        return []
    data = frame.data[len(di) // 2 :]
    if not frame.is_reply:
        if frame.function not in (WRITE_2007, WRITE_1997):
            return []
        data = data[AUTHORITY_2007 if frame.function == WRITE_2007 else AUTHORITY_1997 :]
        return _decode(di, data) if data else []
    if frame.function == FOLLOW_2007:
        data = data[:-1]  # SEQ
    if frame.more_follows or frame.function in (FOLLOW_2007, 0x02):
        return [RegisterValue("part", data.hex().upper(), "", di)]
    return _decode(di, data) or ([RegisterValue("data", data.hex().upper(), "", di)] if data else [])


def _decode(di: str, data: bytes) -> list[RegisterValue]:
    return decode_1997(di, data) if len(di) == 4 else decode_2007(di, data)


def _field(field: Field, data: bytes) -> RegisterValue:
    value = field.format.decode(data) if len(data) == field.format.length else None
    return RegisterValue(field.name, value, field.unit, "", "" if value is not None else data.hex().upper())


def _value(value: RegisterValue) -> dict[str, Any]:
    text = format(value.value, "f") if isinstance(value.value, Decimal) else value.value
    said: dict[str, Any] = {"name": value.name, "value": text, "unit": value.unit}
    if value.value is None:
        said["invalid"] = value.invalid
    return said


def _high_first(data: bytes) -> str:
    return data[::-1].hex().upper()


def _modbus(frame: bytes) -> dict[str, Any]:
    """Whole RTU frame, CRC right. A reply does not carry its address; where request and reply look alike,
    direction is null."""
    function, rest = frame[1] & 0x7F, frame[2:-2]
    said: dict[str, Any] = {
        "protocol": "modbus-rtu",
        "unit": frame[0],
        "function": function,
        "direction": None,
        "address": None,
        "count": None,
        "data": None,
        "exception": None,
    }
    if frame[1] & 0x80 and len(rest) == 1:
        return said | {"direction": "reply", "exception": rest[0]}
    first, second = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
    request = len(rest) == 4
    if function in (*MODBUS_READ_REGISTERS, *MODBUS_READ_BITS):
        reply = len(rest) > 1 and rest[0] == len(rest) - 1
        if function in MODBUS_READ_REGISTERS:
            reply = reply and rest[0] % 2 == 0
        if request and not reply:
            return said | {"direction": "request", "address": first, "count": second}
        if reply and not request:
            count = rest[0] // 2 if function in MODBUS_READ_REGISTERS else None
            return said | {"direction": "reply", "count": count, "data": rest[1:].hex().upper()}
    elif function in MODBUS_WRITE_ONE and request:  # the reply repeats the request
        return said | {"address": first, "count": 1, "data": rest[2:].hex().upper()}
    elif function in MODBUS_WRITE_MANY and request:
        return said | {"direction": "reply", "address": first, "count": second}
    elif function in MODBUS_WRITE_MANY and len(rest) > 5 and rest[4] == len(rest) - 5:
        return said | {"direction": "request", "address": first, "count": second, "data": rest[5:].hex().upper()}
    return said | {"data": rest.hex().upper()}
