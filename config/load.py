"""A configuration file → the effective configuration, or every fault of it at once.

`python -m config.load PATH` prints the same as one JSON object: the agent runs that as a short-lived child
(`config.child`), because pydantic and ruamel would cost it 14 MiB for as long as it lives.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from config import crosscheck, timecheck
from config.compose import compose, decode
from config.crosscheck import ModelFacts
from config.effective import effective
from config.expand import expand
from config.faults import Findings, Loaded
from config.library import library
from config.meter_models import ModelFile
from config.model import DLT645
from config.renamed import take_over
from config.sections import read_sections
from contract.acceptance import evidence_of
from contract.schedule import Schedule
from drivers.modbus import model as modbus_model


def load(path: str | FilePath) -> Loaded:
    """Reads and checks a configuration file. Never raises for what a file contains, or for its absence.

    Raises ModelFileError and ScheduleFileError if the files shipped with the program are damaged.
    """
    findings = Findings(str(path))
    try:
        raw = FilePath(path).read_bytes()
    except OSError as error:
        findings.fault((), f"读不到配置文件:{error.strerror}", f"cannot read the configuration: {error.strerror}")
        return findings.result(None)
    text = decode(raw, findings)
    data = compose(text, findings) if text is not None else None
    if findings.faults and data is None:
        return findings.result(None)
    if not isinstance(data, dict):
        findings.fault((), "文件要是一个映射(键: 值)", "the file must be a mapping (key: value)")
        return findings.result(None)
    return load_data(data, FilePath(path).resolve().parent, findings)


def load_data(data: dict[str, Any], directory: FilePath, findings: Findings) -> Loaded:
    """Checks what `compose` gave. `directory` is what file names in it are relative to."""
    take_over(data, findings)
    if isinstance(data.get("meters_file"), str):
        from config.tables import add_meters_file

        add_meters_file(data, directory, findings)
    sections = read_sections(data, findings)
    named = data.get("site_files")
    files = library(directory / named if isinstance(named, str) else None, findings)
    if files is None:  # what the rest names may stand in them: no more can be said
        return findings.result(None)
    models, schedules = files.models, files.schedules
    draft = expand(sections, findings)
    used = {crosscheck.model_of(entry.of) for entry in sections.meters} - {None}
    facts = _facts(models, {name for name in models if name in used})
    crosscheck.check_lines(sections, draft, findings)
    crosscheck.check_meters(sections, facts, {*models, *DLT645}, findings)
    crosscheck.check_registers(sections, draft, facts, findings)
    crosscheck.check_ratios(sections, draft, facts, findings)
    crosscheck.check_broker(sections, findings)
    crosscheck.check_web(sections, findings)
    timecheck.check_points(sections, draft, findings)
    timecheck.check_meters_once(draft, findings)
    timecheck.check_shares(draft, findings)
    parsed = {name: Schedule.parse(file.data) for name, file in schedules.items()}
    timecheck.check_schedules(sections.park, sections, parsed, findings)
    if sections.park is not None:
        timecheck.check_bounds(sections.park, draft, findings)
    if findings.faults:
        return findings.result(None)
    return findings.result(effective(sections, draft, directory, models, schedules, files.holidays))


def _facts(models: Mapping[str, ModelFile], used: set[str]) -> dict[str, ModelFacts]:
    """Facts of the models in use alone, because YAML is slow to read.

    DL/T 645 meters send what their terminals see; a standard's register needs no second source.
    """
    facts = {protocol: ModelFacts(protocol, "secondary", "agreed") for protocol in DLT645}
    for name in used:
        file = models[name]
        protocol = str(file.data.get("protocol"))
        if protocol == "modbus":
            model = modbus_model.parse(file.data)
            facts[name] = ModelFacts(protocol, model.values, evidence_of(file.data), frozenset(model.settlement))
        else:
            facts[name] = ModelFacts(protocol, "secondary", evidence_of(file.data))
    return facts


def as_json(loaded: Loaded) -> dict[str, Any]:
    """What the child hands over; `config.child` reads it back."""
    return {
        "config": loaded.config,
        "faults": [
            {"file": f.file, "line": f.line, "column": f.column, "key": f.key, "zh": f.zh, "en": f.en}
            for f in loaded.faults
        ],
        "notices": [{"zh": n.zh, "en": n.en} for n in loaded.notices],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(as_json(load(sys.argv[1]))))
