"""Folded records as Parquet files: written whole, read in order of index (the one file that imports pyarrow).

A file is sorted by gateway, epoch, index; park and month stand in its path alone, as Hive writes them, and text in a
path stays text (`2026-07` is no date, park `007` no number). Knows nothing of the store's book-keeping.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit.rows import DIGITS, SCALE, LogId, Row
from audit.safe import write_whole

_ENERGY = pa.decimal128(DIGITS, SCALE)
_TEXT = ("gateway", "epoch", "kind", "meter", "tenant", "point", "role", "quality", "period")
_TYPES = {"body": pa.binary(), "kwh": _ENERGY, "register": _ENERGY, "fork": pa.int32(), "revision": pa.int32()}
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string() if name in _TEXT else pa.int64())) for name in Row._fields])
_FORM = {
    "row_group_size": 8_192,  # read at once: some 8 MB of records
    "compression": "zstd",
    "use_dictionary": list(_TEXT),
    "write_page_checksum": True,
    "write_statistics": ["gateway", "epoch", "seq", "kind", "slot_s"],
}


def write_part(path: Path, rows: Sequence[Row]) -> None:
    """Writes the file and makes it safe: whole or not at all under its name. Raises OSError."""
    write_table(path, table_of(rows))


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows as columns."""
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def write_table(path: Path, table: pa.Table) -> None:
    """The same from columns."""
    write_whole(path, lambda file: pq.write_table(table, file, **_FORM))


def read_part(
    path: Path, which: LogId, kinds: Collection[str] | None = None, first: int = 0, last: int | None = None
) -> Iterator[Row]:
    """Rows of one log in order of index, from `first` to below `last`. Raises OSError, also for a damaged file."""
    with _opened(path) as file:
        for group in _groups(file, first, last):
            table = file.read_row_group(group)
            keep = pc.and_(pc.equal(table["gateway"], which.gateway), pc.equal(table["epoch"], which.epoch))
            keep = pc.and_(keep, pc.greater_equal(table["seq"], first))
            if last is not None:
                keep = pc.and_(keep, pc.less(table["seq"], last))
            if kinds is not None:
                keep = pc.and_(keep, pc.is_in(table["kind"], pa.array(sorted(kinds))))
            kept = table.filter(keep)
            yield from map(Row._make, zip(*(column.to_pylist() for column in kept.columns), strict=True))


def bodies_at(path: Path, which: LogId, seqs: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
    """(index, fork, record bytes) of those of some indexes that the file has. Raises OSError as `read_part`."""
    wanted = pa.array(sorted(seqs), pa.int64())
    with _opened(path) as file:
        for group in _groups(file, min(seqs), max(seqs) + 1):
            heads = file.read_row_group(group, columns=["gateway", "epoch", "seq", "fork"])
            keep = pc.and_(pc.equal(heads["gateway"], which.gateway), pc.equal(heads["epoch"], which.epoch))
            keep = pc.and_(keep, pc.is_in(heads["seq"], wanted))
            if not pc.any(keep).as_py():
                continue
            kept = heads.append_column("body", file.read_row_group(group, columns=["body"])["body"]).filter(keep)
            names = ("seq", "fork", "body")
            yield from zip(*(kept[name].to_pylist() for name in names), strict=True)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:  # pyarrow names no file where bytes are damaged
        raise OSError(None, str(error).splitlines()[0], str(path)) from error


def _groups(file: pq.ParquetFile, first: int, last: int | None) -> Iterator[int]:
    """Row groups that can hold an index of the span, by their statistics."""
    column = SCHEMA.get_field_index("seq")
    for group in range(file.metadata.num_row_groups):
        span = file.metadata.row_group(group).column(column).statistics
        if span is None or (span.max >= first and (last is None or span.min < last)):
            yield group
