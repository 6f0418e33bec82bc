"""`hubiao audit verify`: every log of the store as `hubiao verify` does it, park by park, in processes if wished.

Beside what `verify_log` finds stands what only a store can show: keys that changed, alarms of listeners.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from audit.rows import LogId, Row, Seen
from audit.store import Store
from audit.verify_log import Beside, verify_gateways
from contract.verify import pruned_of

_columns = attrgetter(*Seen._fields)


def verify_store(
    store: Store, *, park: str | None = None, auditors: Sequence[str] = (), jobs: int = 1
) -> dict[str, Any]:
    """{ok, logs: [as verify_gateways gives them], alarms}. Raises OSError."""
    parks = store.parks() if park is None else [park]
    return result_of(store, [log for logs in _by_park(store, parks, auditors, jobs) for log in logs], park)


def result_of(store: Store, logs: list[dict[str, Any]], park: str | None = None) -> dict[str, Any]:
    """What verification of some logs came to, with the store's alarms. No log at all is not ok."""
    alarms = store.alarms(park)
    return {"ok": bool(logs) and not alarms and all(log["ok"] for log in logs), "logs": logs, "alarms": alarms}


def verify_park(store: Store, park: str, auditors: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Every log of a park."""
    logs = ((which, map(_seen, store.log(which).rows()), beside(store, which)) for which in store.logs(park))
    return verify_gateways(logs, auditors)


def beside(store: Store, which: LogId) -> Beside:
    """What the store has beside a log's records."""
    notes = store.notes(which, "checkpoints"), store.notes(which, "receipts")
    return Beside(store.key(which), *notes, store.hashes(which), _pruned(store, which))


def _pruned(store: Store, which: LogId) -> list[tuple[int, int]]:
    """What the gateway's other logs name as given up in this one."""
    others = [log for log in store.logs(which.park) if log.gateway == which.gateway and log.epoch != which.epoch]
    records = (body for other in others for _, body in store.log(other).records(["pruned"]))
    return [found for body in records for found in pruned_of(json.loads(body), which.epoch)]


def _seen(row: Row) -> Seen:
    return Seen(*_columns(row))


def _by_park(store: Store, parks: Sequence[str], auditors: Sequence[str], jobs: int) -> Iterator[list[dict[str, Any]]]:
    if jobs < 2 or len(parks) < 2:
        for park in parks:
            yield verify_park(store, park, auditors)
        return
    fresh = multiprocessing.get_context("spawn")  # a fork would share SQLite connections
    with ProcessPoolExecutor(min(jobs, len(parks)), fresh, initializer=gc.disable) as pool:
        yield from pool.map(partial(_in_process, store.directory, tuple(auditors)), parks)


def _in_process(directory: Path, auditors: Sequence[str], park: str) -> list[dict[str, Any]]:
    store = Store(directory)
    try:
        return verify_park(store, park, auditors)
    finally:
        store.close()
