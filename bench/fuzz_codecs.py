"""What must hold for any bytes given to parser and codecs: the targets of fuzz_with_atheris.py.

`tests/codec/test_fuzz_findings.py` runs the same targets on what was found and on a seeded sample, without atheris.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

from config.meter_models import load_models
from drivers.describe import describe
from drivers.dlt645 import load_record, requests
from drivers.dlt645.frame import Parser, decode, encode
from drivers.dlt645.identifiers import decode_1997, decode_2007
from drivers.errors import DriverError
from drivers.modbus import adu
from drivers.modbus.model import parse
from drivers.modbus.registers import Form, decode_text
from drivers.modbus.registers import decode as decode_registers
from drivers.modbus.replies import RtuReply, TcpReply
from drivers.quantities import RegisterValue

ADDRESS = "202208310003"
ORDINARY = ("00010000", "0001FF00", "04000101", "06040001", "0504FF01")
MODEL = parse(load_models()["acrel-dtsd1352"].data)


def fuzz_parser(data: bytes) -> None:
    """Any bytes, however they are cut, give the same frames; each frame is written as it was read."""
    cut = data[0] if data else 1
    whole, parts = Parser(), Parser()
    frames = whole.feed(data)
    in_parts = []
    step = 1 + cut % 7
    for at in range(0, len(data), step):
        in_parts += parts.feed(data[at : at + step])
    assert frames == in_parts, (frames, in_parts)
    assert (whole.noise >= 0, whole.checksum) == (True, parts.checksum)
    for frame in frames:
        assert frame.raw in data
        assert decode(encode(frame)) == frame
    json.dumps(describe(data, zh=bool(cut & 1)))


def fuzz_dlt645(data: bytes) -> None:
    """Data of any DI decodes to values or to none with its bytes, never to an exception or a float."""
    if len(data) < 6:
        return
    which, di, rest = data[0], data[1:5], data[5:]
    name = ORDINARY[which % len(ORDINARY)] if which & 0x80 else di.hex().upper()
    overrides = {"B61": {"bytes": 1 + which % 4, "decimals": which % 5, "signed": which & 8}}
    _check(decode_2007(name, rest))
    _check(decode_1997(name[:4], rest, overrides))
    try:
        for record in load_record.parse(rest):
            _check(list(record.values))
    except ValueError:
        pass
    exchange = requests.load_records(ADDRESS, which % 7, since="2026-07-14 10:00", count=1 + which % 9)
    reader = exchange.reader()
    reply = reader.feed(data)
    if reply is not None:
        assert reply in data
        assert decode(reply).address == ADDRESS
    reader.damage()
    reader.feed(rest)


def fuzz_modbus(data: bytes) -> None:
    """Any bytes are a reply to their request or none; registers decode to a Decimal, a text or Unexpected."""
    if len(data) < 8:
        return
    unit, start, count, tcp = 1 + data[0] % 247, data[1] << 8 | data[2], 1 + data[3] % 125, data[4] & 1
    start = min(start, 0x10000 - count)
    pdu = adu.read_request(3 + (data[4] >> 1 & 1), start, count)
    request = adu.encode_tcp(data[5] << 8 | data[6], unit, pdu) if tcp else adu.encode_rtu(unit, pdu)
    stream = data[7:]
    if data[4] & 4:  # a right CRC, or a right head: otherwise nothing is ever found
        stream = stream[:-2] + adu.encode_rtu(
            unit, bytes([pdu[0], 2 * count]) + stream[: 2 * count].ljust(2 * count, b"\0")
        )
    reader: RtuReply | TcpReply = TcpReply(request) if tcp else RtuReply(request)
    found = [reply for byte in stream if (reply := reader.feed(bytes([byte]))) is not None]
    whole: RtuReply | TcpReply = TcpReply(request) if tcp else RtuReply(request)
    at_once = whole.feed(stream)
    assert found[:1] == ([] if at_once is None else [at_once])
    for reply in found[:1]:
        try:
            adu.registers_in(request, reply)
            MODEL.settlement_values([(request, reply)], MODEL.settlement)
            MODEL.sum_holds(request, reply)
        except DriverError:
            pass
    _decode_forms(data)


def _decode_forms(data: bytes) -> None:
    for name in ("u16", "i32", "u64", "f32", "f64", "bcd32"):
        form = Form(name)
        words = [data[i % len(data)] << 8 | data[(i + 1) % len(data)] for i in range(form.words)]
        try:
            value = decode_text(words, form) if form.is_text else decode_registers(words, form)
        except DriverError:
            continue
        assert isinstance(value, (Decimal, str))
        assert not isinstance(value, Decimal) or value.is_finite()


def _check(values: list[RegisterValue]) -> None:
    for value in values:
        assert value.value is None or isinstance(value.value, (Decimal, str)), value
        assert not isinstance(value.value, Decimal) or value.value.is_finite()
        assert value.value is not None or bytes.fromhex(value.invalid) is not None


TARGETS: dict[str, Callable[[bytes], None]] = {"parser": fuzz_parser, "dlt645": fuzz_dlt645, "modbus": fuzz_modbus}
