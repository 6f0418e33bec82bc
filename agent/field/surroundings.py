"""Examines what a gateway needs beside its lines: whether the broker takes us in, whether the disk takes a file.

Connects under a name of its own and publishes nothing, so it may be done while the agent runs. Concludes nothing;
`diagnosis.py` does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.delivery.mqtt import Broker, Connection, UplinkError
from agent.field.seen import GatewayEvidence

ANSWER_S = 10.0  # a broker behind a bad 4G link takes some seconds


async def examine_gateway(config: Mapping[str, Any], *, answer_s: float = ANSWER_S) -> GatewayEvidence:
    """The uplink and the data directory of an effective configuration."""
    private = config["private"]
    found = GatewayEvidence(config["settings"]["gateway"])
    if private.get("mqtt"):
        await _broker(Broker.of(private["mqtt"]), found, answer_s)
    _disk(Path(private["data"]), found)
    return found


async def _broker(broker: Broker, found: GatewayEvidence, answer_s: float) -> None:
    found.broker = str(broker)
    try:
        await asyncio.to_thread(_knock, broker, answer_s)
    except OSError as error:
        found.unreachable = str(error)
        return
    connection = Connection(broker, f"hubiao-doctor-{os.getpid()}", None, asyncio.Event())
    try:
        await asyncio.wait_for(connection.open(), answer_s)
    except TimeoutError:
        found.silent_s = answer_s
    except UplinkError as error:
        found.refusal = str(error).removeprefix(f"{broker}: ")
    finally:
        await connection.close()


def _knock(broker: Broker, timeout_s: float) -> None:
    """Raises OSError where nobody listens."""
    socket.create_connection((broker.host, broker.port), timeout_s).close()


def _disk(data: Path, found: GatewayEvidence) -> None:
    found.data = str(data)
    if not data.is_dir():
        return  # the agent makes it when it first runs
    found.free_bytes = shutil.disk_usage(data).free
    try:
        with tempfile.TemporaryFile(dir=data) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        found.unwritable = error.strerror or str(error)
