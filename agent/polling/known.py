"""What meters of a line said last, kept in a file: so that what changed while the gateway was off shows too."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)


class Aid:
    """Writing what is only an aid to memory: a disk that refuses it is named once, and stops no line."""

    def __init__(self, what: Path) -> None:
        self._what, self._refused = what, False

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._refused:
                logger.warning("disk refuses what was seen path=%s %s", self._what, error.strerror)
            self._refused = True
        else:
            self._refused = False


class Known:
    """Values by meter and item, in one JSON file that is written whole and renamed."""

    def __init__(self, file: Path) -> None:
        self._file, self._aid = file, Aid(file)
        self._values = _read(file)

    def of(self, meter: str, item: str) -> str | None:
        return self._values.get(meter, {}).get(item)

    def change(self, meter: str, item: str, value: str, now_ms: int) -> tuple[str | None, int]:
        """What was known before and since when, UTC ms; None the first time. Remembers the new value."""
        known = self._values.setdefault(meter, {})
        before, since = known.get(item), int(known.get(f"{item}@", now_ms))
        known[item], known[f"{item}@"] = value, str(now_ms)
        if before != value:
            beside = self._file.with_suffix(".new")
            with self._aid.written():
                beside.write_text(json.dumps(self._values, sort_keys=True), encoding="utf-8")
                beside.replace(self._file)
        return before, since


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a torn file: all begins anew
        return {}
    return known if isinstance(known, dict) else {}
