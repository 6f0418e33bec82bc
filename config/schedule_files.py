"""The schedule and holiday files that are shipped, or that stand in another directory: text, hash and content.

    <id>.yaml             a TOU schedule; its id is the file's name
    holidays-<year>.yaml  the days off of a year as announced

What the content means is `contract.schedule`'s matter; which schedules a park uses is the configuration's.
"""

from __future__ import annotations

import hashlib
import pathlib
from dataclasses import dataclass
from typing import Any

from config.compose import compose, decode
from config.faults import Findings
from contract.schedule import Holidays, Schedule

DIRECTORY = pathlib.Path(__file__).with_name("schedules")
_HOLIDAYS = "holidays-"


class ScheduleFileError(ValueError):
    """Schedule or holiday files that cannot be used; the text names file and place, one fault a line."""


@dataclass(frozen=True, slots=True)
class ScheduleFile:
    """One file: `text` as it stands, `sha256` of its bytes in hex, `data` with every scalar as text.

    `version` is the schedule's; 1 for a holiday list.
    """

    id: str
    version: int
    path: pathlib.Path
    text: str
    sha256: str
    data: dict[str, Any]

    def entry(self) -> dict[str, Any]:
        """The file as it stands in the effective configuration."""
        return {"id": self.id, "version": self.version, "sha256": self.sha256, "text": self.text, "data": self.data}


def schedule_files(directory: pathlib.Path = DIRECTORY) -> dict[str, ScheduleFile]:
    """All schedules of a directory by id. Raises ScheduleFileError with the faults of all files."""
    faults: list[str] = []
    files: dict[str, ScheduleFile] = {}
    for path in sorted(directory.glob("*.yaml")):
        if path.name.startswith(_HOLIDAYS):
            continue
        try:
            text, sha256, data = _read(path)
            schedule = Schedule.parse(data)
            if schedule.id != path.stem:
                raise ValueError(f"id: {schedule.id!r} is not the file's name")
            files[schedule.id] = ScheduleFile(schedule.id, schedule.version, path, text, sha256, data)
        except ValueError as error:
            faults += _named(path, error)
    if faults:
        raise ScheduleFileError("\n".join(faults))
    return files


def holiday_files(directory: pathlib.Path = DIRECTORY) -> dict[str, ScheduleFile]:
    """All holiday lists of a directory by id. Raises ScheduleFileError with the faults of all files."""
    faults: list[str] = []
    files: dict[str, ScheduleFile] = {}
    for path in sorted(directory.glob(f"{_HOLIDAYS}*.yaml")):
        try:
            text, sha256, data = _read(path)
            Holidays.parse(data)
            name = data.get("holidays", data).get("id")
            if not name or name in files:
                raise ValueError(f"id: {name!r} is missing or taken")
            files[name] = ScheduleFile(name, 1, path, text, sha256, data)
        except ValueError as error:
            faults += _named(path, error)
    if faults:
        raise ScheduleFileError("\n".join(faults))
    return files


def _read(path: pathlib.Path) -> tuple[str, str, dict[str, Any]]:
    raw = path.read_bytes()
    findings = Findings(path.name)
    text = decode(raw, findings)
    data = compose(text, findings) if text is not None else None
    if findings.faults:
        raise ScheduleFileError("\n".join(map(str, findings.faults)))
    if text is None or not isinstance(data, dict):
        raise ValueError("-: not a mapping")
    return text, hashlib.sha256(raw).hexdigest(), data


def _named(path: pathlib.Path, error: ValueError) -> list[str]:
    if isinstance(error, ScheduleFileError):  # names file and place already
        return str(error).splitlines()
    return [f"{path.name}: {line}" for line in str(error).splitlines()]
