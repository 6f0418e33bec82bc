"""What meters of a line said last, kept in a file: so that what changed while the gateway was off shows too."""

from __future__ import annotations

import json
from pathlib import Path


class Known:
    """Values by meter and item, in one JSON file that is written whole and renamed."""

    def __init__(self, file: Path) -> None:
        self._file = file
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
            beside.write_text(json.dumps(self._values, sort_keys=True), encoding="utf-8")
            beside.replace(self._file)
        return before, since


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a torn file: all begins anew
        return {}
    return known if isinstance(known, dict) else {}
