"""Builds the documentation as a site in `build/site`: `make site`. Ends where a link, an anchor or a page is missing.

The pages keep their places and their relative links; files that they link to (samples, units, tests) come along. A
directory in the navigation stands for all its English pages, `DIRECTORY/*.zh.md` for the Chinese ones.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SOURCE = ROOT / "build" / "site-source"
LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")


def pages() -> list[Path]:
    """Every committed Markdown page that is documentation, from the working tree."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "*.md"], capture_output=True, text=True, check=True)
    hidden = (".github/", "tests/")
    return [Path(name) for name in listed.stdout.splitlines() if not name.startswith(hidden)]


def main() -> int:
    shutil.rmtree(SOURCE, ignore_errors=True)
    found = pages()
    for page in found:
        text = (ROOT / page).read_text(encoding="utf-8")
        _write(page, text)
        for link in LINK.findall(text):
            target = (ROOT / page.parent / link).resolve()
            if target.is_file() and target.suffix != ".md":
                _copy(target)
    config = (HERE / "mkdocs.yml").read_text(encoding="utf-8")
    made = HERE.parents[1] / "build" / "mkdocs.yml"
    made.write_text(_with_directories(config, found).replace("../../build/", ""), encoding="utf-8")
    # not --quiet: it would hide the warnings from --strict as well
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(made)]
    return subprocess.run(command, check=False).returncode


def _with_directories(config: str, found: list[Path]) -> str:
    """`- Title: directory/` and `directory/*.zh.md` written out as pages, README first."""

    def listed(line: re.Match[str]) -> str:
        chinese = line[4] is not None
        there = (page for page in found if page.parent == Path(line[3]) and page.name.endswith(".zh.md") == chinese)
        names = sorted(there, key=lambda page: (not page.name.startswith("README"), page))
        entries = "".join(f"\n{line[1]}    - {name}" for name in names)
        return f"{line[1]}- {line[2]}:{entries}"

    return re.sub(r"^( *)- ([^:\n]+): (\S+)/(\*\.zh\.md)?$", listed, config, flags=re.MULTILINE)


def _write(page: Path, text: str) -> None:
    target = SOURCE / page
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def _copy(file: Path) -> None:
    target = SOURCE / file.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, target)


if __name__ == "__main__":
    sys.exit(main())
