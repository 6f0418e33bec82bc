"""The questions of a province on one machine: DuckDB over the store's Parquet, some parks at a time.

Memory is that of some parks, whatever the number of parks; a park of 50 meters and a month is 300,000 rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice

import duckdb

from audit.questions import QUESTIONS, REVISED, Answer, answers
from audit.store import Store

PARKS_AT_ONCE = 16
_VIEW = "CREATE OR REPLACE VIEW records AS SELECT * FROM read_parquet([{}], hive_partitioning = true, {})"


def survey(store: Store, park: str | None = None) -> dict[str, list[Answer]]:
    """Question → its answers, in order of parks, from what was folded. Raises OSError, also for a damaged file."""
    found: dict[str, list[Answer]] = {name: [] for name in QUESTIONS}
    parks = iter(store.parks() if park is None else [park])
    try:
        with tempfile.TemporaryDirectory() as spill, _engine(spill) as engine:
            while some := list(islice(parks, PARKS_AT_ONCE)):
                for name, rows in ask(engine, store.part_paths(some)):
                    found[name] += rows
    except duckdb.Error as error:
        raise OSError(None, str(error).splitlines()[0], str(store.directory)) from error
    return found


def ask(engine: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> Iterator[tuple[str, list[Answer]]]:
    """Each question of the parks in some files."""
    if not paths:
        return
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    engine.execute(_VIEW.format(files, "hive_types_autocast = false"))  # park 007 is no number
    for name, few in REVISED.items():
        engine.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {few}")
    for name, question in QUESTIONS.items():
        asked = engine.execute(question)
        yield name, answers([column[0] for column in asked.description], asked.fetchall())


def _engine(spill: str) -> duckdb.DuckDBPyConnection:
    """In memory, spilling to a directory of ours (else to one in the working directory), never fetching extensions."""
    return duckdb.connect(":memory:", config={"temp_directory": spill, "autoinstall_known_extensions": "false"})
