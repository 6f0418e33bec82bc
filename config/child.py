"""Short-lived child processes; the one that loads a configuration, so that pydantic and ruamel are never in here."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from config.faults import Fault, Loaded, Notice

LIMIT_S = 60.0  # the slowest gateway needs a few seconds


class ChildFailed(RuntimeError):
    """A child could not be started, or ended without an answer; the text is what it said."""


async def run_child(module: str, *arguments: str, given: bytes = b"") -> bytes:
    """What a module of ours says when run as a program that is given some bytes; a cancelled one has ended.

    Raises ChildFailed.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:  # no memory for another process, or too many of them
        raise ChildFailed(str(error)) from error
    try:
        said, complaint = await child.communicate(given)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise ChildFailed(complaint.decode(errors="replace").strip() or f"exit code {child.returncode}")
    return said


async def load_in_child(path: str | Path) -> Loaded:
    """The same as `config.load.load(path)`. Raises ChildFailed if the child dies or takes longer than a minute."""
    try:
        async with asyncio.timeout(LIMIT_S):
            said = await run_child("config.load", str(path))
    except TimeoutError as error:
        raise ChildFailed(f"the configuration loader took longer than {LIMIT_S:.0f} s") from error
    answer = json.loads(said)
    return Loaded(
        answer["config"],
        [Fault(**fault) for fault in answer["faults"]],
        [Notice(**notice) for notice in answer["notices"]],
    )
