"""An MQTT 5 broker for demo and tests, on loopback only, gone with its block: iotcore (a wheel) or mosquitto.

Only starts and stops a process of its own; the configuration lies in a directory that goes with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
MAX_PAYLOAD = 4 * 1024 * 1024  # iotcore's own limit of 20 480 bytes is less than one effective configuration
START_S = 15.0  # on a loaded machine; usually 0.1
STOP_S = 5.0
COMPLAINTS = "broker.log"
SBIN = "/usr/sbin:/usr/local/sbin"  # where Debian keeps mosquitto, outside a user's PATH

IOTCORE = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 200
dynamic_filters = false
"""
# iotcore ends when its standard input does, so it never outlives this process
IOTCORE_CHILD = "from iotcore._serve import main; main()"
MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
persistence false
message_size_limit {max_payload}
max_queued_messages 0
set_tcp_nodelay true
log_type error
"""


class Address(NamedTuple):
    """Where the broker listens, and which one it is."""

    host: str
    port: int
    software: str
    pid: int = 0

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"


class BrokerMissing(RuntimeError):
    """No broker can be started; the message says what to install or what went wrong."""


def available() -> list[str]:
    """The brokers that this machine has, the preferred first."""
    found = ["iotcore"] if importlib.util.find_spec("iotcore") else []
    return found + (["mosquitto"] if mosquitto_program() else [])


@contextlib.asynccontextmanager
async def embedded_broker(
    prefer: str = "iotcore", *, max_payload: int = MAX_PAYLOAD, port: int = 0
) -> AsyncIterator[Address]:
    """A broker for the length of the block, the other one where the preferred is missing. Raises BrokerMissing.

    port: 0 takes a free one.
    """
    known = available()
    if not known:
        raise BrokerMissing("no MQTT broker: install the extra hubiao[demo] (iotcore) or the package mosquitto")
    software = prefer if prefer in known else known[0]
    with tempfile.TemporaryDirectory(prefix="hubiao-broker-") as directory:
        os.chmod(directory, 0o755)  # started by root, mosquitto becomes a user of its own before it reads
        address = Address(HOST, port or _free_port(), software)
        process = await _spawn(address, Path(directory), max_payload)
        try:
            await _until_it_listens(process, address, Path(directory))
            yield address._replace(pid=process.pid)
        finally:
            await _end(process)


async def _spawn(address: Address, directory: Path, max_payload: int) -> asyncio.subprocess.Process:
    template = IOTCORE if address.software == "iotcore" else MOSQUITTO
    config = directory / "broker.toml"  # iotcore goes by the suffix
    config.write_text(template.format(host=address.host, port=address.port, max_payload=max_payload))
    config.chmod(0o644)
    if address.software == "iotcore":
        options = f'{{"config_path": "{config}"}}'
        arguments = [sys.executable, "-P", "-c", IOTCORE_CHILD, options]
    else:
        arguments = [str(mosquitto_program()), "-c", str(config)]
    with (directory / COMPLAINTS).open("wb") as complaints:
        return await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=complaints,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C is for us; the broker goes last
        )


async def _until_it_listens(process: asyncio.subprocess.Process, address: Address, directory: Path) -> None:
    async def knock() -> None:
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(address.host, address.port)
                writer.close()
                return
            await asyncio.sleep(0.05)
        said = (directory / COMPLAINTS).read_text(errors="replace").strip()
        raise BrokerMissing(f"{address.software} ended at once with code {process.returncode}: {said}")

    try:
        await asyncio.wait_for(knock(), START_S)
    except TimeoutError as error:
        raise BrokerMissing(f"{address.software} did not listen within {START_S:.0f} s") from error


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
    if process.stdin is not None:
        process.stdin.close()


def mosquitto_program() -> str | None:
    """Where it is installed, None where it is not."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=SBIN)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
