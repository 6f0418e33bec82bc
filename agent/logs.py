"""How the agent's log looks: text for people, JSON for machines, priorities for journald; a line a change of state."""

from __future__ import annotations

import json
import logging
import os
import sys
import time

PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = f"{record.levelname.lower()} {record.name} {super().format(record)}"
        if os.environ.get("JOURNAL_STREAM"):
            return f"<{PRIORITY.get(record.levelno, 6)}>" + text.replace("\n", " | ")
        return time.strftime("%Y-%m-%dT%H:%M:%S ", time.localtime(record.created)) + text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {"ts": round(record.created, 3), "level": record.levelname.lower(), "logger": record.name}
        return json.dumps({**entry, "message": super().format(record)}, ensure_ascii=False)


def set_up(form: str = "text", *, verbose: bool = False) -> None:
    """Sends every logger to stderr as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
