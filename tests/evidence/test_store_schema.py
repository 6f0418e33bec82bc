"""Bringing a store to the present schema in a child, and what the parent learns of it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlite_utils import Database

from agent.evidence.migrations import migrations
from agent.evidence.schema import COLUMNS, LATEST, migrate
from agent.evidence.store import Store, StoreDamaged

OLD_STORE = Path(__file__).parent / "golden" / "store-0.1.db"


def test_the_newest_migration_is_the_one_that_the_agent_asks_for(tmp_path: Path) -> None:
    db = Database(tmp_path / "empty.db")
    pending = list(migrations.pending(db))
    db.close()
    assert pending[-1].name == LATEST


def test_the_columns_that_the_agent_knows_are_those_that_migrations_make(tmp_path: Path) -> None:
    path = tmp_path / "hubiao.db"
    migrate(path)
    db = Database(path)
    made = {t.name: tuple(c.name for c in t.columns) for t in db.tables if not t.name.startswith(("_", "sqlite_"))}
    db.close()
    assert made == COLUMNS


async def test_a_schema_whose_own_text_was_damaged_is_damage(tmp_path: Path) -> None:
    """Met in 1,000 damaged stores: every page was whole, and a column had another name."""
    path = tmp_path / "hubiao.db"
    migrate(path)
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE receipt RENAME COLUMN epoch TO epo_h")
    db.close()
    store = Store(tmp_path, contextlib.nullcontext)
    try:
        with pytest.raises(StoreDamaged, match="receipt"):
            await store.open()
    finally:
        await store.close()


def test_a_store_is_made_once_and_left_alone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "hubiao.db"
    migrate(path)
    made = path.read_bytes()
    migrate(path)
    assert path.read_bytes() == made


def test_a_store_of_an_older_program_is_taken_on(tmp_path: Path) -> None:
    path = tmp_path / "hubiao.db"
    shutil.copy(OLD_STORE, path)
    migrate(path)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM epoch").fetchone() == (1,)
    db.close()


@pytest.mark.parametrize("old", [False, True], ids=["no store", "store of 0.1"])
def test_a_migration_that_was_cut_off_after_any_statement_is_done_again(tmp_path: Path, old: bool) -> None:
    """Statements are committed one by one; a kill after any of them leaves what the next start must bring to an end."""
    statements: list[str] = []
    whole = tmp_path / "whole.db"
    if old:
        shutil.copy(OLD_STORE, whole)
    with contextlib.closing(sqlite3.connect(whole)) as db:
        db.set_trace_callback(statements.append)
        migrations.apply(Database(db))
    made = [said for said in statements if said.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT", "UPDATE"))]
    for cut in range(len(made) + 1):
        path = tmp_path / f"{cut}.db"
        if old:
            shutil.copy(OLD_STORE, path)
        with contextlib.closing(sqlite3.connect(path)) as db:
            for statement in made[:cut]:
                db.execute(statement)
            db.commit()
        migrate(path)
        with contextlib.closing(sqlite3.connect(path)) as db:
            found = {table: tuple(row[1] for row in db.execute(f"PRAGMA table_info({table})")) for table in COLUMNS}
            kept = db.execute("SELECT count(*) FROM epoch").fetchone()
        assert found == COLUMNS
        assert kept == (int(old),)


def test_a_migration_killed_at_any_moment_is_done_again(tmp_path: Path) -> None:
    """kill -9 at moments spread over the child's life."""
    command = [sys.executable, "-m", "agent.evidence.migrations"]
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole.db")], check=True)
    life_s = time.monotonic() - began
    for n in range(12):
        path = tmp_path / f"{n}.db"
        with subprocess.Popen([*command, str(path)]) as child:
            time.sleep(life_s * (0.6 + n / 24))
            child.kill()
        migrate(path)
        with contextlib.closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT count(*) FROM epoch").fetchone() == (0,)


def test_a_file_that_is_no_database_is_told_by_sqlites_own_name(tmp_path: Path) -> None:
    path = tmp_path / "hubiao.db"
    path.write_bytes(b"x" * 9000)
    with pytest.raises(sqlite3.DatabaseError) as told:
        migrate(path)
    assert told.value.sqlite_errorname == "SQLITE_NOTADB"


def test_a_fault_inside_the_child_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError) as told:
        migrate(tmp_path / "missing" / "hubiao.db")
    assert told.value.sqlite_errorname == "SQLITE_CANTOPEN"


def test_the_agent_does_without_the_libraries_of_others() -> None:
    heavy = ("sqlite_utils", "pymodbus", "pydantic", "ruamel")
    code = f"import sys, agent.cli.run; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
