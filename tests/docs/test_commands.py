"""Every command of every page is run, in the page's order, in a directory of its own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from console_blocks import Command, commands

from agent.cli import cli

ROOT = Path(__file__).parents[2]
WRITTEN = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
PAGES = [page for page in WRITTEN if "```console" in page.read_text(encoding="utf-8")]
LIMIT_S = 180  # for one command, on a machine that is busy with the other tests
# English and Chinese of one page
PAIRS = [
    ("README.md", "README.zh-CN.md"),
    *(
        (str(page.relative_to(ROOT)).replace(".zh.md", ".md"), str(page.relative_to(ROOT)))
        for page in WRITTEN
        if ".zh.md" in page.name
    ),
]
READ_BY_USERS = [
    "quick-start",
    "operations",
    "security",
    "troubleshooting",
    "faq",
    "hardware-checklist",
    "status-page",
    "exercises",
    "ledger",
    "field-guide",
    "auditor",
    "consumer",
    "contract",
    "fleet",
    "effective-configuration",
    "architecture",
    "drivers",
    "performance",
    "versioning",
    "decisions/README",
    "reference/configuration",
    "reference/meter-models",
    "reference/events",
]


def in_chinese(page: Path) -> bool:
    return ".zh" in page.name


def environment(page: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "zh_CN.UTF-8" if in_chinese(page) else "C.UTF-8",
        "PYTHONIOENCODING": "utf-8",
    }


@contextmanager
def running(command: Command, where: Path, env: dict[str, str]) -> Iterator[None]:
    """A command that runs for ever, from its awaited text to the end of the block."""
    with subprocess.Popen(
        ["sh", "-c", f"exec {command.to_run}"], cwd=where, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        too_late = threading.Timer(LIMIT_S, process.kill)
        drain = threading.Thread(target=process.stdout.read)
        too_late.start()
        said: list[str] = []
        try:
            for line in process.stdout:
                said.append(line.decode())
                if command.awaited is not None and command.awaited in said[-1]:
                    break
            else:
                pytest.fail(f"line {command.line}: {command.to_run} never said {command.awaited}:\n{''.join(said)}")
            drain.start()
            yield
        finally:
            too_late.cancel()
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT_S)
            if drain.is_alive():
                drain.join(LIMIT_S)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_does_what_the_page_says(page: Path, tmp_path: Path) -> None:
    (tmp_path / "config").symlink_to(ROOT / "config")
    _play(commands(page), page, tmp_path)


def _play(left: list[Command], page: Path, where: Path) -> None:
    for n, command in enumerate(left):
        if command.only_looked_up:
            continue
        if command.awaited is not None:
            with running(command, where, environment(page)):
                _play(left[n + 1 :], page, where)
            return
        done = subprocess.run(
            ["sh", "-c", command.to_run],
            cwd=where,
            env=environment(page),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        said = f"{done.stdout.decode()}\n{done.stderr.decode()}"
        assert done.returncode == command.exit_code, f"line {command.line}: {command.to_run}\n{said}"
        assert command.expects().search(said), f"line {command.line}: {command.to_run}\n{said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_not_run_name_verbs_and_options_that_exist(page: Path) -> None:
    for command in commands(page):
        for part in re.split(r"&&|\||;", command.text):
            words = shlex.split(part, comments=True)
            if "hubiao" in words:
                _look_up(words[words.index("hubiao") + 1 :], f"{page.name}:{command.line}: {part.strip()}")


def _look_up(words: list[str], where: str) -> None:
    command: click.Command = cli
    options = set(cli.params[0].opts)
    for word in words:
        if word.startswith("--"):
            known = options | {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            assert word.split("=")[0] in {*known, "--help"}, f"{where}: no option {word}"
        elif isinstance(command, click.Group) and not word.startswith("-") and word not in ("zh", "en"):
            inner = command.get_command(click.Context(command), word)
            assert inner is not None, f"{where}: no verb {word}"
            command = inner


def test_every_page_that_users_read_is_there_in_chinese_too() -> None:
    docs = ROOT / "docs"
    assert [name for name in READ_BY_USERS if not (docs / f"{name}.zh.md").exists()] == []


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_languages_have_the_same_sections(english: str, chinese: str) -> None:
    levels = []
    for page in (english, chinese):
        text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
        levels.append(re.findall(r"^(#+) ", text, re.M))
    assert levels[0] == levels[1]


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_a_page_leads_to_pages_in_its_own_language(english: str, chinese: str) -> None:
    chinese_of = {(ROOT / one).resolve(): (ROOT / other).resolve() for one, other in PAIRS}
    for page, wrong, other in (
        (ROOT / english, set(chinese_of.values()), ROOT / chinese),
        (ROOT / chinese, set(chinese_of), ROOT / english),
    ):
        links = re.findall(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        assert not [link for link in links if (page.parent / link).resolve() in wrong - {other.resolve()}], page


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_a_page_names_the_same_commands_in_both_languages(english: str, chinese: str) -> None:
    assert [one.text for one in commands(ROOT / english)] == [one.text for one in commands(ROOT / chinese)]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_calls_nothing_missing_that_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    section = next(part for part in text.split("\n## ") if part.split("\n")[0].endswith(("not yet", "还没有")))
    missing = re.findall(r"`([a-z -]+)`", section.rsplit("\n- ", 1)[1])
    assert not [words for words in missing if _there(words.split())]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_every_verb_of_the_contract_is_there_or_named_as_missing(name: str) -> None:
    rows = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8").split("## 1 ")[1].split("### ")[0]
    verbs = {
        words.split()[0]
        for row in re.findall(r"^\| (`.*?) \| ", rows, re.MULTILINE)
        for words in re.findall(r"`([a-z][^`]*)`", row)
    }
    assert {"demo", "run", "watch", "tenancy", "audit"} <= verbs
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not [verb for verb in sorted(verbs) if not _there([verb]) and f"`{verb}`" not in text]


def _there(words: list[str]) -> bool:
    command: click.Command | None = cli
    for word in words:
        command = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
    return command is not None


def test_both_languages_of_the_contract_name_the_same_things() -> None:
    names = []
    for page in ("contract.md", "contract.zh.md"):
        text = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.M | re.S)
        names.append(set(re.findall(r"`([^`\n]+)`", text)))
    assert names[0] == names[1]


def test_links_between_pages_lead_somewhere() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in WRITTEN
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not link.startswith(("http", "mailto:")) and not (page.parent / link).exists()
    ]
    assert dead == []


def test_no_page_hides_a_command_where_it_is_not_run() -> None:
    fences = re.compile(r"^```(?:sh|bash|shell)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
    hidden = [
        f"{page.relative_to(ROOT)}: {line}"
        for page in WRITTEN
        for block in fences.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if re.match(r"\$? ?hubiao (demo|run|check|read|frame|export|verify|key|audit|simulate)", line)
    ]
    assert hidden == []


def test_the_shell_completion_prints_a_script() -> None:
    env = {**environment(ROOT / "README.md"), "_HUBIAO_COMPLETE": "bash_source"}
    done = subprocess.run(["hubiao"], env=env, capture_output=True, check=False, timeout=LIMIT_S)
    assert b"complete -o nosort -F _hubiao_completion hubiao" in done.stdout
    words = {**env, "_HUBIAO_COMPLETE": "bash_complete", "COMP_WORDS": "hubiao ver", "COMP_CWORD": "1"}
    done = subprocess.run(["hubiao"], env=words, capture_output=True, check=False, timeout=LIMIT_S)
    assert done.stdout.decode().split() == ["plain,verify", "plain,version"]
