"""The screens of the field guide, zh and en: the commands run on the training park in virtual time, as on a terminal.

A block marked `<!-- run: screen NAME -->` shows what the screen of that name says, line by line, figures apart.
`python tests/field/test_guide_screens.py` writes them anew. Speeds are carried by the wire, framings as by a
pseudo-terminal, so a person who trains sees the same but for registers and latencies.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from benches import NOON, Bench, effective

from agent.cli import check_online, cli, commission, doctor, scan, words
from agent.evidence.keys import create_key
from agent.field.commissioning import ratio_of
from agent.field.search import first_steps
from drivers.clock import VirtualClock
from drivers.ports.memory import MemoryPort
from simulators.faults import Fault

ROOT = Path(__file__).parents[2]
TRAINING = ROOT / "config" / "samples" / "training.yaml"
GUIDES = {"zh": ROOT / "docs" / "field-guide.zh.md", "en": ROOT / "docs" / "field-guide.md"}
COLUMNS = 118
BLOCK = re.compile(r"<!-- run: screen (?P<name>[a-z-]+) -->\n```console\n\$ (?P<command>.*)\n(?P<said>(?:.*\n)*?)```\n")
SCAN = "scan --port ports/ttyRS485-2 --bauds 9600 --units 1-16 --write found.yaml --sheet walk.html"
SCREENS = {
    "scan": (SCAN, ()),
    "scan-busy": ("scan --port ports/ttyRS485-1", (Fault("other_master", "east", amount=1.0),)),
    "online": ("check --config found.yaml --online", ()),
    "doctor": (
        "doctor --config training.yaml --link-dir ports --line east --rounds 4",
        (Fault("duplicate", "m-102", amount=0.03),),
    ),
    "commission": ("commission --config training.yaml --link-dir ports --meter m-201 --sheet accept.html", ()),
}


class Screen(io.StringIO):
    """A terminal without colour: what a moving line left is what is seen."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        lines = [line.rpartition("\r\x1b[2K")[2].rstrip() for line in self.getvalue().split("\n")]
        return [line for line in lines if line]


class Park:
    """The training park behind every verb's ports, on a clock of its own for each command."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.config, self.clock = effective(TRAINING), VirtualClock(NOON)
        self.bench = Bench(self.config, self.clock, list(faults))
        self.ends = {Path(line["port"]).name: line["id"] for line in self.config["lines"]}

    def port(self, url: str, **_: Any) -> MemoryPort:
        return _Later(self, self.ends[Path(url).name])

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        async def played() -> Any:
            await self.bench.open()
            try:
                return await main
            finally:
                await self.bench.close()

        return self.clock.run(played())

    def answer(self, question: str, default: str) -> str:
        """A person at meter m-201: the display cut to a digit, clamps that show a little more."""
        truth, entry = self.bench.site.truth, next(one for one in self.config["meters"] if one["id"] == "m-201")
        said = default
        if any(word in question for word in ("示数 kWh", "kWh (s", "now, kWh")):
            said = str(truth.registers("m-201", self.clock.wall_ms())["import"].quantize(Decimal("0.1"), "ROUND_DOWN"))
        elif "put load on" in question or "接上负荷" in question:
            self.clock.move(600)
        elif clamp := re.search(r"clamp on phase ([ABC])|([ABC]) 相钳表", question):
            current = truth.live("m-201", self.clock.wall_ms())[f"current_{(clamp[1] or clamp[2]).lower()}"]
            said = str((current * ratio_of(entry["ct"]) * Decimal("1.02")).quantize(Decimal("0.1")))
        elif "photo" in question or "照片" in question:
            said = "m-201-a.jpg"
        elif "seals" in question or "封印" in question:
            said = "A2201"
        shown = "" if said == default else said
        asked = f"{question} [{default}]" if default else question
        sys.stdout.write(f"{asked}: {shown}\n")  # as click.prompt leaves it on the screen
        return said


class _Later(MemoryPort):
    """A bench's port, which is there once the bench is open."""

    def __init__(self, park: Park, line: str) -> None:
        super().__init__(line)
        self._park, self._line = park, line

    def __getattribute__(self, name: str) -> Any:
        if name in ("_park", "_line"):
            return object.__getattribute__(self, name)
        park: Park = object.__getattribute__(self, "_park")
        return getattr(park.bench.ports[self._line], name)


@contextmanager
def at(park: Park, screen: Screen, language: str) -> Iterator[None]:
    patches: list[Any] = [
        patch.object(asyncio, "run", park.run),
        patch.object(scan, "first_steps", partial(_one_framing, first_steps)),
        patch.object(commission, "port_of", lambda entry: park.port(entry["port"])),
        patch.object(commission, "_prompt", park.answer),
        patch.object(words, "_language", language),
        patch.dict(os.environ, {"COLUMNS": str(COLUMNS), "NO_COLOR": "1"}),
        patch.object(sys, "stdout", screen),
        patch.object(sys, "stderr", screen),
    ]
    verbs = (scan, doctor, check_online)
    patches += [patch.object(module, "port_for", park.port) for module in verbs]
    patches += [patch.object(module, "RealClock", lambda: park.clock) for module in (*verbs, commission)]
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield


def _one_framing(steps: Callable[..., Any], *given: Any, **more: Any) -> Any:
    return steps(*given, **{**more, "one_framing": True})


def screens(language: str) -> dict[str, list[str]]:
    """Every screen of the guide, run in a directory of their own in the guide's order."""
    said = {}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            Path("training.yaml").write_bytes(TRAINING.read_bytes())
            Path("data").mkdir()
            create_key(Path("data"))
            for name, (command, faults) in SCREENS.items():
                screen, park = Screen(), Park(faults)
                with at(park, screen, language):
                    cli.main(command.split(), standalone_mode=False)
                said[name] = [line.replace(f"{os.path.realpath(directory)}/", "") for line in screen.shown()]
        finally:
            os.chdir(before)
    return said


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_guide_shows_what_the_screen_shows(language: str) -> None:
    page = GUIDES[language].read_text(encoding="utf-8")
    blocks = {one["name"]: one for one in BLOCK.finditer(page)}
    assert blocks.keys() == SCREENS.keys()
    for name, said in screens(language).items():
        assert blocks[name]["command"] == f"hubiao {SCREENS[name][0]}"
        shown = blocks[name]["said"].splitlines()
        assert [*map(_words, shown)] == [*map(_words, said)], f"{name}: run {Path(__file__).name} to write it anew"


def _words(line: str) -> str:
    """A line without its figures, which move with every new meter model and every field of a record."""
    return re.sub(r" +", " ", re.sub(r"[\d.]+", "#", line))


def write_guides() -> None:
    for language, path in GUIDES.items():
        made = screens(language)

        def block(found: re.Match[str], made: dict[str, list[str]] = made) -> str:
            name = found["name"]
            lines = "".join(f"{line}\n" for line in made[name])
            return f"<!-- run: screen {name} -->\n```console\n$ hubiao {SCREENS[name][0]}\n{lines}```\n"

        path.write_text(BLOCK.sub(block, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write_guides()
