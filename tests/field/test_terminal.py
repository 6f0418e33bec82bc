"""How the field verbs behave on terminals: narrow, without colour, in GBK and ASCII, piped, interrupted."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
HUBIAO = Path(sys.executable).with_name("hubiao")
PARK = """\
park: {id: p, schedules: [zj-2026]}
gateway: {id: g, data: data}
lines:
  - {id: east, port: /dev/ttyS-east, baud: 9600, framing: 8E1}
meters:
  - {id: m-1, line: east, protocol: dlt645-2007, address: "202208310101", room: 一楼东侧, role: public}
  - {id: m-2, line: east, protocol: modbus, unit: 2, model: chint-dtsu666, framing: 8N1, role: public}
"""
SCAN = ("scan", "--port", "ports/ttyS-east", "--listen", "0.2s", "--protocols", "dlt645-2007,modbus")
SCAN += ("--bauds", "9600", "--units", "2")
DOCTOR = ("doctor", "--config", "park.yaml", "--link-dir", "ports", "--rounds", "2")


def env(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "zh_CN.UTF-8", **more}


def heed_ctrl_c() -> None:
    """A shell's background jobs ignore it, and with them all that they start, such as tests run by `nohup … &`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in which two meters answer at ports/ttyS-east."""
    where = tmp_path_factory.mktemp("bus")
    (where / "park.yaml").write_text(PARK, encoding="utf-8")
    with subprocess.Popen(
        [HUBIAO, "simulate", "--config", "park.yaml", "--link-dir", "ports"],
        cwd=where,
        env=env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield where
        process.terminate()


def run(where: Path, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([HUBIAO, *words], cwd=where, env=env(**more), capture_output=True, timeout=60, check=False)


def on_terminal(where: Path, columns: int, *words: str, **more: str) -> str:
    """What a person sees who ran it on a terminal so wide, with every control sequence in it."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([HUBIAO, *words], cwd=where, env=env(TERM="xterm", **more), stdout=far, stderr=far):
        os.close(far)
        seen = b""
        try:
            while chunk := os.read(near, 65536):
                seen += chunk
        except OSError:  # Linux: the other end was closed
            pass
    os.close(near)
    return seen.decode("utf-8")


def columns_of(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_output_survives_any_terminals_encoding(bus: Path, encoding: str) -> None:
    for words, said in ((SCAN, "找到 2 块"), (("check", "--config", "park.yaml"), "配置有效")):
        done = run(bus, *words, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        assert said in (done.stdout + done.stderr).decode(
            "gbk" if encoding == "gbk" else "utf-8"
        )  # click's choice instead of ASCII


def test_the_c_locale_speaks_english_and_does_not_die(bus: Path) -> None:
    done = run(bus, *SCAN, LANG="C", LC_ALL="C")
    assert done.returncode == 0
    assert b"2 meters, " in done.stderr


def test_json_is_one_document_and_nothing_else_on_standard_output(bus: Path) -> None:
    for words in (SCAN, DOCTOR, ("ports",), ("check", "--online", "--config", "found.yaml")):
        if words[0] == "check":
            run(bus, *SCAN, "--write", "found.yaml")
        done = run(bus, *words, "--json")
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)


def test_a_pipe_gets_plain_lines_and_no_control_sequence(bus: Path) -> None:
    done = run(bus, *DOCTOR)
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stdout.count(b"\n") >= 2


def test_no_color_leaves_colour_out_on_a_terminal(bus: Path) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*m")
    assert coloured.search(on_terminal(bus, 100, *SCAN))
    assert not coloured.search(on_terminal(bus, 100, *SCAN, NO_COLOR="1"))


def test_a_table_fits_a_narrow_terminal(bus: Path) -> None:
    seen = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", on_terminal(bus, 80, *SCAN, NO_COLOR="1"))
    rows = [line.rpartition("\r")[2] for line in seen.split("\r\n") if "9600 8" in line and "  -  " in line]
    assert len(rows) == 2
    assert all(columns_of(row) <= 80 and row.endswith("…") for row in rows), rows


def test_ctrl_c_ends_a_scan_with_130_and_keeps_what_was_found(bus: Path) -> None:
    words = ("--lang", "en", "scan", "--port", "ports/ttyS-east", "--listen", "0.2s", "--write", "kept.yaml")
    with subprocess.Popen(
        [HUBIAO, *words],
        cwd=bus,
        env=env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            if "202208310101" in line:
                break
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; what was found is kept" in complaint
    assert [row.split("\t")[0] for row in said.splitlines()] == ["202208310101"]
    assert "202208310101" in (bus / "kept.yaml").read_text("utf-8")
    assert (bus / "kept.yaml").stat().st_mode & 0o777 == 0o644  # the agent's user must be able to read it
