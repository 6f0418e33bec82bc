"""Loads a configuration in a short-lived child process; imports neither pydantic nor ruamel itself."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from config.faults import Fault, Loaded, Notice

LIMIT_S = 60.0  # the slowest gateway needs a few seconds


class LoaderFailed(RuntimeError):
    """The child ended without an answer; the text is what it said."""


async def load_in_child(path: str | Path) -> Loaded:
    """The same as `config.load.load(path)`. Raises LoaderFailed if the child dies or takes longer than a minute."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "config.load", str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            said, complaint = await child.communicate()
    except TimeoutError as error:
        raise LoaderFailed(f"the configuration loader took longer than {LIMIT_S:.0f} s") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise LoaderFailed(complaint.decode(errors="replace").strip() or f"exit code {child.returncode}")
    answer = json.loads(said)
    return Loaded(
        answer["config"],
        [Fault(**fault) for fault in answer["faults"]],
        [Notice(**notice) for notice in answer["notices"]],
    )
