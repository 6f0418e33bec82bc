"""A table as a Parquet file: text, whole numbers, instants, exact decimals (no I/O).

    PAR1 | page of column 1 | page of column 2 | … | footer | its length, 4 bytes | PAR1
           page = header | levels: 4 bytes of length, runs | values          all numbers little-endian but decimals

One row group, one page a column, PLAIN and uncompressed: what every reader reads, and nothing that a gateway would have
to carry 100 MB of libraries for. Headers and footer are structs in Thrift's compact form. Written from the format's own
description (apache/parquet-format: README, Encodings, LogicalTypes, parquet.thrift).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

MAGIC = b"PAR1"
DECIMAL_BYTES, DECIMAL_DIGITS = 16, 38

# parquet.thrift: Type, ConvertedType, FieldRepetitionType, Encoding
INT64, BYTE_ARRAY, FIXED_BYTES = 2, 6, 7
UTF8, DECIMAL, MILLISECONDS = 0, 5, 9
OPTIONAL = 1
PLAIN, RLE = 0, 3

Value = str | int | Decimal | None


class Long(int):
    """A whole number that the format wants in 64 bits."""


Field = int | str | bytes | Sequence[int] | Sequence[str] | Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `kind` is "text", "number", "instant" (UTC, in ms) or "decimal" (38 digits, none of them lost)."""

    name: str
    kind: str


def parquet(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> bytes:
    """The whole file. Raises ValueError where a decimal has more than 38 digits at the column's scale."""
    body = bytearray(MAGIC)
    schema = [_struct((4, "schema"), (5, len(columns)))]
    chunks = []
    for n, column in enumerate(columns):
        values = [row[n] for row in rows]
        scale = max((_decimals(value) for value in values if isinstance(value, Decimal)), default=0)
        schema.append(_element(column, scale))
        page = _page(column, values, scale)
        chunks.append(_struct((2, Long(len(body))), (3, _chunk(column, len(rows), len(page), len(body)))))
        body += page
    group = _struct((1, chunks), (2, Long(len(body) - len(MAGIC))), (3, Long(len(rows))))
    footer = _struct((1, 1), (2, schema), (3, Long(len(rows))), (4, [group]), (6, "hubiao"))
    return bytes(body + footer + len(footer).to_bytes(4, "little") + MAGIC)


def _element(column: Column, scale: int) -> bytes:
    head: list[tuple[int, Field]] = [(1, _type(column))]
    tail: list[tuple[int, Field]] = [(3, OPTIONAL), (4, column.name)]
    match column.kind:
        case "decimal":
            head.append((2, DECIMAL_BYTES))
            tail += [(6, DECIMAL), (7, scale), (8, DECIMAL_DIGITS)]
        case "instant":
            tail.append((6, MILLISECONDS))
        case "text":
            tail.append((6, UTF8))
    return _struct(*head, *tail)


def _type(column: Column) -> int:
    return {"text": BYTE_ARRAY, "decimal": FIXED_BYTES}.get(column.kind, INT64)


def _chunk(column: Column, count: int, size: int, at: int) -> bytes:
    place = ((4, 0), (5, Long(count)), (6, Long(size)), (7, Long(size)), (9, Long(at)))
    return _struct((1, _type(column)), (2, [PLAIN, RLE]), (3, [column.name]), *place)


def _page(column: Column, values: Sequence[Value], scale: int) -> bytes:
    levels = b"".join(
        _varint(sum(1 for _ in run) << 1) + bytes((there,)) for there, run in groupby(v is not None for v in values)
    )
    data = len(levels).to_bytes(4, "little") + levels
    data += b"".join(_plain(column, value, scale) for value in values if value is not None)
    about = _struct((1, len(values)), (2, PLAIN), (3, RLE), (4, RLE))
    return _struct((1, 0), (2, len(data)), (3, len(data)), (5, about)) + data


def _plain(column: Column, value: Value, scale: int) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        return len(text).to_bytes(4, "little") + text
    if isinstance(value, Decimal):
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)  # no infinity, no NaN
        number: int = int("".join(map(str, digits))) * 10 ** (scale + exponent)
        if number >= 10**DECIMAL_DIGITS:
            raise ValueError(f"{column.name}: {value} has more than {DECIMAL_DIGITS} digits at {scale} decimals")
        return (-number if sign else number).to_bytes(DECIMAL_BYTES, "big", signed=True)
    assert value is not None
    return value.to_bytes(8, "little", signed=True)


def _decimals(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


# Thrift's compact form: a field is its distance to the one before and its type in one byte, then the value
def _struct(*fields: tuple[int, Field]) -> bytes:
    out, last = bytearray(), 0
    for number, value in fields:
        kind, written = _field(value)
        out += bytes(((number - last) << 4 | kind,)) + written
        last = number
    return bytes(out) + b"\0"


def _field(value: Field) -> tuple[int, bytes]:
    """Type and bytes: i32 5, i64 6, binary 8, list 9, struct 12. `bytes` are a struct already written."""
    if isinstance(value, int):
        return 6 if isinstance(value, Long) else 5, _varint(value << 1)  # zigzag; none is negative
    if isinstance(value, str):
        return 8, _varint(len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return 12, value
    return 9, _list([_field(item) for item in value])


def _list(items: Iterable[tuple[int, bytes]]) -> bytes:
    written = list(items)
    kind, count = written[0][0] if written else 12, len(written)
    head = bytes((count << 4 | kind,)) if count < 15 else bytes((0xF0 | kind,)) + _varint(count)
    return head + b"".join(item for _, item in written)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
