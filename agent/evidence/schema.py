"""Whether a store has the present schema, and bringing it there. The tables and migrations are in migrations.py.

sqlite-utils takes 45 ms and 5 MB to import, for something that is needed at the first start after an update: a child
does it. A row of `batch` has as its id epoch number × 2^40 + first index.
"""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

EPOCH_SHIFT = 40
# what `migrations.py` makes, for recognising a schema whose own text was damaged
COLUMNS = {
    "epoch": ("number", "id", "cause", "vkey", "frontier", "delivered"),
    "batch": ("id", "count", "at_ms", "hashes", "body"),
    "checkpoint": ("id", "note"),
    "receipt": ("id", "auditor", "size", "epoch", "note"),
    "set_aside": ("id", "reason", "tried_ms"),
}
LATEST = "_0001_log"  # the newest migration; tests hold it against migrations.py
CHILD_LIMIT_S = 600.0  # a migration may copy a table of years


def migrate(path: Path) -> None:
    """Brings a store to the present schema, making it where there is none. sqlite3.Error; OSError where the child fell,
    or the store is of a newer program, which is no damage: it is left as it is.
    """
    if _is_present(path):
        return
    command = [sys.executable, "-m", "agent.evidence.migrations", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_LIMIT_S)
    if done.returncode == 0:
        return
    if not done.stdout:
        raise OSError(done.returncode, f"migration failed: {done.stderr.strip().splitlines()[-1:]}", str(path))
    said = json.loads(done.stdout)
    error = sqlite3.OperationalError(said["text"])
    error.sqlite_errorname = said["name"]
    raise error


def _is_present(path: Path) -> bool:
    """Also raises what SQLite says of a file that is no database, before anybody writes to it."""
    if not path.exists():
        return False
    db = sqlite3.connect(path)
    try:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
            return False
        newest = max((name for (name,) in db.execute("SELECT name FROM _sqlite_migrations")), default="")
    finally:
        db.close()
    if newest > LATEST:  # their names begin with numbers
        raise OSError(errno.EINVAL, f"of a newer hubiao (schema {newest}, this one knows {LATEST})", str(path))
    return bool(newest == LATEST)
