"""The meter models, schedules and holiday lists that a configuration may use: those shipped, and the site's own.

    site_files: DIR      DIR/meters/*.yaml  DIR/schedules/*.yaml  DIR/schedules/holidays-*.yaml

A file of the site with the id of a shipped one stands in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from config.faults import Findings
from config.meter_models import ModelFile, ModelFileError, load_models
from config.schedule_files import ScheduleFile, ScheduleFileError, holiday_files, schedule_files
from drivers.modbus import model as modbus_model

KEY = ("site_files",)


@dataclass(frozen=True, slots=True)
class Library:
    """Files by id."""

    models: Mapping[str, ModelFile]
    schedules: Mapping[str, ScheduleFile]
    holidays: Mapping[str, ScheduleFile]


def library(site: Path | None, findings: Findings) -> Library | None:
    """What is shipped, and what the directory `site` adds; None if that is faulty, which goes to `findings`.

    Raises ModelFileError and ScheduleFileError if the files shipped with the program are damaged.
    """
    shipped = _shipped()
    if site is None:
        return shipped
    if not site.is_dir():
        findings.fault(KEY, f"没有目录 {site}", f"there is no directory {site}")
        return None
    try:
        models = load_models(site / "meters")
        _check_models(models.own)
        schedules, holidays = schedule_files(site / "schedules"), holiday_files(site / "schedules")
    except (ModelFileError, ScheduleFileError) as error:
        findings.fault(KEY, str(error), str(error))
        return None
    return Library(models, {**shipped.schedules, **schedules}, {**shipped.holidays, **holidays})


@cache
def _shipped() -> Library:
    """Found once a process: they come with the program."""
    return Library(load_models(), schedule_files(), holiday_files())


def _check_models(own: Mapping[str, ModelFile]) -> None:
    """Raises ModelFileError, a line for each model that cannot be used."""
    faults = []
    for name, file in own.items():
        try:
            if file.data.get("protocol") == "modbus" and name == file.data["id"]:
                modbus_model.parse(file.data)
        except modbus_model.ModelError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise ModelFileError("\n".join(faults))
