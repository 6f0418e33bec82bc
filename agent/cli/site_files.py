"""The site's own models and schedules, for verbs that need no more of a configuration than its `site_files`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.cli import Failure
from agent.cli.words import language
from config.compose import compose, decode
from config.faults import Findings
from config.library import Library, library
from config.meter_models import ModelFile, ModelFileError, load_models
from config.schedule_files import ScheduleFileError


def site_library(config: Path | None) -> Library:
    """Everything shipped and what the configuration's `site_files` adds. Exit 78 where that is faulty."""
    findings = Findings(str(config))
    try:
        found = library(_directory(config, findings), findings)
    except (ModelFileError, ScheduleFileError, OSError) as error:
        raise Failure(str(error), 78) from error
    if found is None or findings.faults:
        raise Failure(findings.result(None).fault_texts(language()), 78)
    return found


def site_models(config: Path | None) -> Mapping[str, ModelFile]:
    """The meter models alone: without a configuration schedules need not be read, which is slow. Exit 78 as above."""
    return load_models() if config is None else site_library(config).models


def _directory(config: Path | None, findings: Findings) -> Path | None:
    """The directory that a configuration names in `site_files`; nothing else of it is looked at."""
    if config is None:
        return None
    text = decode(config.read_bytes(), findings)
    data = None if text is None else compose(text, findings)
    named = data.get("site_files") if isinstance(data, dict) else None
    return config.resolve().parent / named if isinstance(named, str) else None
