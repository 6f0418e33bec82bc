"""A province on Spark: the questions of `questions` and the verification of `verify_log`, park by park.

    store.db ─▶ beside.parquet (a row a log: key, checkpoints, receipts, hashes) ┐
    records/park=…/month=…/*.parquet ────────────────────────────────────────────┴▶ by park, in order of index ─▶ verify

The store's directory must be there for every executor under the same path, and hubiao[fleet] in its Python. Rows reach
an executor through Spark alone, sorted, and go by one after the other: it holds no park as a whole. The one file that
imports pyspark, from the extra `fleet`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from audit.parquet import SCHEMA
from audit.questions import QUESTIONS, REVISED, Answer, answers
from audit.rows import LogId, Seen
from audit.safe import write_whole
from audit.store import Store
from audit.verify_log import Beside, verify_gateways
from audit.verify_store import beside, result_of

BESIDE = "beside.parquet"
_COLUMNS = (*LogId._fields, *Seen._fields)
_BESIDE_KIND = "beside"  # sorts before a log's records by its index, -1
_PARKS_A_TASK = 4  # small enough that a lost executor costs little, large enough that tasks are not the work
_Row = tuple[Any, ...]


def session(master: str, more: Mapping[str, str] | None = None) -> SparkSession:
    """A session on a cluster (`spark://…`, `yarn`, `k8s://…`) or here (`local[2]`); stop it when done.

    Executors run this interpreter by its path; PYSPARK_PYTHON or `spark.pyspark.python` name another one.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings: dict[str, Any] = {
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",  # park 007 is no number, 2026-07 no date
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.autoBroadcastJoinThreshold": "64m",  # what is revised, some 10 bytes a row, goes to the records
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **(more or {}),
    }
    return SparkSession.builder.master(master).appName("hubiao audit").config(map=settings).getOrCreate()


def survey(spark: SparkSession, store: Store, park: str | None = None) -> dict[str, list[Answer]]:
    """As audit.survey.survey, from the same SQL."""
    frame = _records(spark, store, park)
    if frame is None:
        return {name: [] for name in QUESTIONS}
    frame.createOrReplaceTempView("records")
    for name, few in REVISED.items():
        kept = spark.sql(few).cache()
        kept.count()  # from here on Spark knows how small it is, and sends it to the records instead of sorting them
        kept.createOrReplaceTempView(name)
    found = {}
    for name, question in QUESTIONS.items():
        asked = spark.sql(question)
        found[name] = answers(asked.columns, asked.collect())
    return found


def verify_store(
    spark: SparkSession, store: Store, park: str | None = None, auditors: Sequence[str] = ()
) -> dict[str, Any]:
    """As audit.verify_store.verify_store. Raises OSError."""
    frame = _records(spark, store, park)
    if frame is None:
        return result_of(store, [], park)
    write_beside(store, store.directory / BESIDE, park)
    besides = spark.read.parquet(_uri(store.directory / BESIDE))
    rows = frame.select(*_COLUMNS).unionByName(besides)
    tasks = max(2, len(store.parks()) // _PARKS_A_TASK)
    by_park = rows.repartition(tasks, "park").sortWithinPartitions("park", "gateway", "epoch", "seq", "fork")
    done = by_park.mapInArrow(partial(_verify_batches, tuple(auditors)), "park string, logs string").collect()
    return result_of(store, [log for row in sorted(done) for log in json.loads(row.logs)], park)


def write_beside(store: Store, path: Path, park: str | None = None) -> None:
    """What came beside the records of each log, as a row of the same columns. Raises OSError."""
    schema = pa.schema([("park", pa.string()), *(SCHEMA.field(name) for name in _COLUMNS[1:])])

    def write(file: Any) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for which in store.logs(park):
                row = dict.fromkeys(schema.names) | which._asdict()
                row |= {"seq": -1, "fork": 0, "kind": _BESIDE_KIND, "body": _packed(beside(store, which))}
                writer.write_table(pa.Table.from_pylist([row], schema))

    write_whole(path, write)


def _records(spark: SparkSession, store: Store, park: str | None) -> DataFrame | None:
    paths = store.part_paths(None if park is None else [park])
    if not paths:
        return None
    return spark.read.option("basePath", _uri(store.directory / "records")).parquet(*map(_uri, paths))


def _uri(path: Path | str) -> str:
    """Where it is mounted: without the scheme a cluster with a file system of its own would look there."""
    return f"file://{Path(path).resolve()}"


def _verify_batches(auditors: Sequence[str], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
    for park, of_park in groupby(rows, key=itemgetter(0)):
        logs = verify_gateways(_logs(of_park), auditors)
        yield pa.RecordBatch.from_pydict({"park": [park], "logs": [json.dumps(logs)]})


def _logs(rows: Iterable[_Row]) -> Iterator[tuple[LogId, Iterator[Seen], Beside]]:
    for names, group in groupby(rows, key=itemgetter(0, 1, 2)):
        of_log = iter(group)
        *_, packed = next(of_log)
        yield LogId(*names), (Seen(*row[3:]) for row in of_log), _unpacked(packed)


def _packed(what: Beside) -> bytes:
    hashes = {str(seq): leaf.hex() for seq, leaf in what.hashes.items()}
    return json.dumps(what._replace(hashes=hashes)._asdict()).encode()  # type: ignore[arg-type]  # as JSON has it


def _unpacked(body: bytes) -> Beside:
    raw = json.loads(body)
    hashes = {int(seq): bytes.fromhex(leaf) for seq, leaf in raw["hashes"].items()}
    return Beside(**{**raw, "hashes": hashes})
