"""Reads the `console` blocks of a Markdown page and runs them, so that no page names a command that does not work.

    <!-- run: HOW -->            optional, on the line before the block
    ```console
    $ command                    run by sh in the page's own directory; a trailing \\ goes on in the next line
    output                       must be there, in this order; `…` stands for anything, alone for any number of lines
    ```

HOW is one of: `exit N` · `until TEXT` (goes on till the end of the page, which waits for TEXT on its standard output) ·
`instead COMMAND` (a shorter form of the same) · `screen NAME` (compared by tests/field/test_guide_screens.py) ·
`never, REASON` (needs what a test has not; its `hubiao` verbs and options are still looked up).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?:<!-- run: (?P<how>.*?) -->\n+)?^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_HOWS = ("exit ", "until ", "instead ", "screen ", "never, ")


@dataclass(frozen=True)
class Command:
    """One command of a page, what is said to come out of it, and how to try it."""

    text: str
    output: tuple[str, ...]
    how: str
    line: int

    @property
    def to_run(self) -> str:
        return self.how.removeprefix("instead ") if self.how.startswith("instead ") else self.text

    @property
    def exit_code(self) -> int:
        return int(self.how.removeprefix("exit ")) if self.how.startswith("exit ") else 0

    @property
    def awaited(self) -> str | None:
        return self.how.removeprefix("until ") if self.how.startswith("until ") else None

    @property
    def only_looked_up(self) -> bool:
        return self.how.startswith(("screen ", "never, "))

    def expects(self) -> re.Pattern[str]:
        """What its output must contain."""
        lines = (
            r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\s*\n" for line in self.output
        )
        return re.compile("^" + "".join(lines), re.MULTILINE)


def commands(page: Path) -> list[Command]:
    """Every command of a page, in order. ValueError for a block that begins with no command or says no known HOW."""
    text = page.read_text(encoding="utf-8")
    found: list[Command] = []
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("body")) + 1
        how = block["how"] or ""
        if how and not how.startswith(_HOWS):
            raise ValueError(f"{page.name}:{line}: run: {how}")
        found += _of_block(block["body"].replace("\\\n", ""), how, f"{page.name}:{line}", line)
    return found


def _of_block(body: str, how: str, where: str, line: int) -> list[Command]:
    if not body.startswith("$ "):
        raise ValueError(f"{where}: begins with no command")
    parts = re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
    texts = [part.rstrip("\n").split("\n") for part in parts]
    return [Command(lines[0].strip(), tuple(one for one in lines[1:] if one), how, line) for lines in texts]
