"""`hubiao run` as a process for the length of a block, and what its log says afterwards, asked from outside.

async with running(yaml, directory) as agent: …      SIGTERM at the end, as systemd sends it
for record in exported(directory / "park.yaml", "reading"): …
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

HUBIAO = str(Path(sys.executable).with_name("hubiao"))
STOP_S = 60.0  # it promises five, on a machine that is not overloaded


@contextlib.asynccontextmanager
async def running(
    yaml: str, directory: Path, *, command: tuple[str, ...] = (HUBIAO,), env: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Writes `directory/park.yaml` and runs the agent with it. `command`: what takes the place of `hubiao`."""
    path = directory / "park.yaml"
    path.write_text(yaml, encoding="utf-8")
    with (directory / "agent.evidence.log").open("wb") as complaints:
        agent = await asyncio.create_subprocess_exec(*command, "run", "--config", str(path), stderr=complaints, env=env)
        try:
            yield agent
        finally:
            if agent.returncode is None:
                agent.terminate()
            await asyncio.wait_for(agent.wait(), STOP_S)


def exported(config: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    """Records of these kinds as they stand in the log, oldest first."""
    export = [HUBIAO, "export", "--config", str(config), "--from", "2020-01-01", "--to", "2100-01-01", "--ndjson"]
    with subprocess.Popen(export, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            record: dict[str, Any] = json.loads(line)
            if record["kind"] in kinds:
                yield record
    assert process.returncode == 0, "hubiao export failed"
