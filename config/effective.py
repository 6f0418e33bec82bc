"""The effective configuration (docs/effective-configuration.md): plain JSON, every default filled in. No I/O."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path as FilePath
from typing import Any

from config import scalars
from config.crosscheck import ADDRESS_DIGITS, model_of
from config.expand import Draft, Spot
from config.meter_models import ModelFile
from config.model import DLT645, Line, Meter, Mqtt, Tenant, Web
from config.schedule_files import ScheduleFile
from config.sections import Entry, Sections


def effective(
    sections: Sections,
    draft: Draft,
    directory: FilePath,
    models: Mapping[str, ModelFile],
    schedules: Mapping[str, ScheduleFile],
    holidays: Mapping[str, ScheduleFile],
) -> dict[str, Any]:
    """Writes out a configuration without faults. File names become absolute against `directory`, the file's own."""
    park, gateway = sections.park, sections.gateway
    assert park is not None
    assert gateway is not None
    lines = {entry.of.id: _line(entry.of, sections.meters) for entry in sections.lines}
    used = [*park.schedules, *(spot.schedule for spot in draft.spots if spot.schedule)]
    return {
        "settings": {
            "park": park.id,
            "gateway": gateway.id,
            "utc_offset": park.utc_offset,
            "schedules": park.schedules,
            "interval": park.interval,
            "interval_s": scalars.interval_seconds(park.interval),
            "closings": park.closings,
        },
        "private": {
            "data": _absolute(gateway.data, directory),
            "clock": gateway.clock,
            "park_name": park.name,
            "tenants": [_tenant(entry.of) for entry in sections.tenants],
            "mqtt": _mqtt(sections.mqtt, directory) if sections.mqtt else None,
            "web": _web(sections.web, directory) if sections.web else None,
        },
        "lines": list(lines.values()),
        "meters": [_meter(entry.of, lines, models) for entry in sections.meters],
        "points": [_point(spot) for spot in draft.spots],
        "tenancies": [
            {
                "point": hold.point,
                "tenant": hold.tenant,
                "share": scalars.plain(hold.share),
                "from": _utc(hold.start),
                "to": _utc(hold.end),
            }
            for hold in draft.holds
        ],
        "schedules": [schedules[name].entry() for name in dict.fromkeys(used)],
        "holidays": [file.entry() for file in holidays.values()],
        "models": _models(sections.meters, models),
        "version": importlib.metadata.version("hubiao"),
    }


def _line(line: Line, meters: Iterable[Entry[Meter]]) -> dict[str, Any]:
    """A line of DL/T 645 meters alone has their standard's speed and framing unless told otherwise."""
    protocols = {entry.of.protocol for entry in meters if entry.of.line == line.id}
    baud, framing = (2400, "8E1") if protocols and protocols <= set(DLT645) else (9600, "8N1")
    return {
        "id": line.id,
        "port": line.port,
        "baud": line.baud or baud,
        "framing": line.framing or framing,
        "direction": line.direction,
        "echo": line.echo,
        "broadcasts": line.broadcasts,
    }


def _meter(meter: Meter, lines: Mapping[str, Mapping[str, Any]], models: Mapping[str, ModelFile]) -> dict[str, Any]:
    line = lines[meter.line] if meter.line else None
    model = model_of(meter)
    return {
        "id": meter.id,
        "line": meter.line,
        "protocol": meter.protocol,
        "address": meter.address.zfill(ADDRESS_DIGITS) if meter.address else None,
        "unit": meter.unit,
        "model": models[model].data["id"] if model and model in models else model,
        "baud": meter.baud or (line["baud"] if line else None),
        "framing": meter.framing or (line["framing"] if line else None),
        "serial": meter.serial,
        "ct": meter.ct,
        "pt": meter.pt,
        "digits": meter.digits,
        "max_a": meter.max_a,
        "phases": meter.phases,
        "class": meter.class_,
        "certificate": meter.certificate,
        "verified_until": meter.verified_until,
        "seal": meter.seal,
        "accepted": meter.accepted,
        "room": meter.room,
    }


def _point(spot: Spot) -> dict[str, Any]:
    return {
        "id": spot.id,
        "role": spot.role,
        "parent": spot.parent,
        "register": spot.register,
        "account": spot.account,
        "schedule": spot.schedule,
        "meters": [
            {"meter": s.meter, "from": _utc(s.start), "to": _utc(s.end), "multiplier": s.multiplier}
            for s in spot.stretches
        ],
    }


def _models(meters: Iterable[Entry[Meter]], models: Mapping[str, ModelFile]) -> list[dict[str, Any]]:
    files = {}
    for entry in meters:
        name = model_of(entry.of)
        if name and name in models:
            file = models[name]
            files[file.data["id"]] = {
                "id": file.data["id"],
                "sha256": file.sha256,
                "text": file.text,
                "data": file.data,
            }
    return list(files.values())


def _tenant(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.name or tenant.id,
        "declared_kw": tenant.declared_kw,
        "own_circuit": tenant.own_circuit,
    }


def _mqtt(mqtt: Mqtt, directory: FilePath) -> dict[str, Any]:
    written = mqtt.model_dump()
    for key in ("password_file", "ca_file", "cert_file", "key_file"):
        written[key] = _absolute(written[key], directory) if written[key] else None
    return written


def _web(web: Web, directory: FilePath) -> dict[str, Any]:
    files = {key: getattr(web, key) for key in ("password_file", "token_file")}
    return {"listen": web.listen, **{key: _absolute(name, directory) if name else None for key, name in files.items()}}


def _absolute(name: str, directory: FilePath) -> str:
    return str(directory / name)


def _utc(moment: datetime | None) -> str | None:
    return scalars.utc_text(moment) if moment else None
