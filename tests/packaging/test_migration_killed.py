"""A store of every released schema, migrated by a process that is killed before each of its statements in turn."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.evidence.store import DATABASE, Store, StoreError

RELEASED = sorted((Path(__file__).parents[1] / "evidence" / "golden").glob("store-*.db"))


def trial(*arguments: object) -> str:
    command = [sys.executable, Path(__file__).with_name("migration_trial.py"), *arguments]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("released", [*RELEASED, "none"], ids=lambda released: Path(released).stem)
def test_a_killed_migration_leaves_the_old_store_whole_and_the_next_start_finishes_it(
    released: Path | str, tmp_path: Path
) -> None:
    assert int(trial(released, tmp_path)) > 8  # it did have several statements to be killed before


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_an_older_program_leaves_a_newer_store_alone(released: Path, tmp_path: Path) -> None:
    """Going back over a migration is refused; nothing is set aside as damaged."""
    shutil.copy(released, tmp_path / DATABASE)
    trial("once", tmp_path / DATABASE)
    newer = (tmp_path / DATABASE).read_bytes()

    async def open_it() -> None:
        store = Store(tmp_path, contextlib.nullcontext)
        try:
            with pytest.raises(StoreError, match="_0009_trial"):
                await store.open()
        finally:
            await store.close()

    asyncio.run(open_it())
    assert (tmp_path / DATABASE).read_bytes() == newer
