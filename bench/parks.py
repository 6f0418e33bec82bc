"""Configurations of any size for measurements: so many lines of so many equal meters, loaded as the agent does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from config.child import load_in_child

MODBUS_MODEL = "acrel-dtsd1352"


def text(
    ports: list[str],
    meters: int,
    protocol: str,
    *,
    baud: int = 9600,
    framing: str = "8N1",
    mqtt: str | None = None,
    interval: str = "15min",
    data: str = "data",
) -> str:
    """YAML of a park with a line for each port. mqtt: the broker's URL, or the whole section in braces.

    Meters are numbered from 1 on each line as bench.rack expects, each with a tenant of its own.
    """
    broker = mqtt if not mqtt or mqtt.startswith("{") else f'{{url: "{mqtt}"}}'
    uplink = f"mqtt: {broker}\n" if mqtt else ""
    rows = [
        "park: {id: bench, name: bench, schedules: [zj-2024, zj-2026], interval: " + interval + "}",
        f"gateway: {{id: gw-1, data: {data}, clock: trusted}}",
        uplink + "lines:",
        *(f"  - {{id: l{n}, port: '{port}', baud: {baud}, framing: {framing}}}" for n, port in enumerate(ports)),
        "meters:",
    ]
    for line in range(len(ports)):
        for number in range(1, meters + 1):
            who = f"id: m-{line}-{number}, line: l{line}, tenant: t-{line}-{number}, max_a: 60, phases: 3, digits: 6"
            if protocol == "modbus":
                rows.append(f"  - {{{who}, protocol: modbus, unit: {number}, model: {MODBUS_MODEL}}}")
            else:
                address = f"{line + 1:06d}{number:06d}"
                rows.append(f'  - {{{who}, protocol: dlt645-2007, address: "{address}"}}')
    rows.append("tenants:")
    rows += [f"  - {{id: t-{line}-{number}}}" for line in range(len(ports)) for number in range(1, meters + 1)]
    return "\n".join(rows) + "\n"


async def park(lines: int, meters: int, protocol: str, **settings: str | int | None) -> dict[str, Any]:
    """The effective configuration; settings as of `text`. Its ports do not exist."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "park.yaml"
        ports = [f"/dev/ttyBench{n}" for n in range(lines)]
        path.write_text(text(ports, meters, protocol, **settings))  # type: ignore[arg-type]  # handed through
        loaded = await load_in_child(path)
    assert loaded.config is not None, loaded.faults
    return loaded.config
