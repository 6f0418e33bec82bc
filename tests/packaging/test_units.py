"""The systemd files: valid, confined, and not confined so far that the agent loses its clock or its ports."""

from __future__ import annotations

import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from agent.evidence.schema import CHILD_LIMIT_S
from agent.supervise import STUCK_MS

UNITS = Path(__file__).parents[2] / "systemd"
SERVICES = ("hubiao.service", "hubiao-simulate@.service")
INSTALLED = "/opt/hubiao/venv/bin/hubiao"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def settings(service: str) -> dict[str, list[str]]:
    lines = (UNITS / service).read_text(encoding="utf-8").splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


@needs_systemd
@pytest.mark.parametrize("service", SERVICES)
def test_systemd_finds_nothing_wrong_with_a_unit(service: str, tmp_path: Path) -> None:
    here = str(Path(sys.executable).with_name("hubiao"))
    name = service.replace("@.", "@park.")
    (tmp_path / name).write_text((UNITS / service).read_text(encoding="utf-8").replace(INSTALLED, here))
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(tmp_path / name))
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("service", SERVICES)
def test_a_unit_is_exposed_at_most_to_2_of_10(service: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", "--threshold=20", str(UNITS / service))
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@needs_systemd
def test_the_threshold_of_exposure_can_fail(tmp_path: Path) -> None:
    (tmp_path / "bare.service").write_text("[Service]\nExecStart=/bin/true\n")
    done = analyze("security", "--offline=true", "--no-pager", "--threshold=20", str(tmp_path / "bare.service"))
    assert done.returncode == 1


def test_the_agent_may_ask_whether_the_kernels_clock_is_synchronised() -> None:
    unit = settings("hubiao.service")
    assert unit["ProtectClock"] == ["no"]  # yes takes adjtimex(2) away, and no record would have a time
    allowed = {call for value in unit["SystemCallFilter"] if not value.startswith("~") for call in value.split()}
    assert {"adjtimex", "clock_adjtime", "clock_adjtime64"} <= allowed
    assert unit["CapabilityBoundingSet"] == [""]  # so it cannot set it


def test_a_migration_has_its_whole_time_before_systemd_loses_patience() -> None:
    assert int(settings("hubiao.service")["TimeoutStartSec"][0]) > CHILD_LIMIT_S


def test_the_agent_may_read_the_boot_id() -> None:
    assert "ProcSubset" not in settings("hubiao.service")  # pid hides /proc/sys, and the agent ends before it begins


def test_a_faulty_configuration_is_not_tried_again_and_a_hung_agent_is() -> None:
    unit = settings("hubiao.service")
    assert "78" in unit["RestartPreventExitStatus"][0].split()
    assert (unit["Type"], unit["Restart"]) == (["notify"], ["always"])
    assert int(unit["WatchdogSec"][0]) * 1000 > STUCK_MS  # systemd must not be faster than the agent


@pytest.mark.parametrize("service", SERVICES)
def test_a_unit_calls_nothing_that_a_bare_debian_lacks(service: str) -> None:
    """Debian without procps has no /bin/kill."""
    unit = settings(service)
    commands = {value.split()[0] for key, values in unit.items() if key.startswith("Exec") for value in values}
    assert INSTALLED in commands
    assert commands <= {INSTALLED, "/bin/sh"}


def test_serial_ports_are_open_to_the_agent_and_other_devices_are_not() -> None:
    unit = settings("hubiao.service")
    assert unit["DevicePolicy"] == ["closed"]
    (allowed,) = [device.removesuffix(" rw") for device in unit["DeviceAllow"]]
    groups = {"ttyS", "ttyUSB", "ttyACM", "ttyAMA", "ttymxc", "ttySC", "ttySTM", "ttyPS"}  # as in /proc/devices
    others = {"mem", "tty", "/dev/tty", "/dev/console", "/dev/vc/0", "ptmx", "sd", "input"}
    assert {name for name in groups | others if fnmatch(f"char-{name}", allowed)} == groups
    assert unit["SupplementaryGroups"] == ["dialout"]


def test_the_names_by_socket_are_a_template_that_changes_nothing_as_shipped() -> None:
    lines = (UNITS / "99-hubiao.rules").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") for line in lines)
    rules = [line.removeprefix("#") for line in lines if line.startswith("#SUBSYSTEM")]
    assert all('SYMLINK+="ttyRS485-' in rule and 'GROUP="dialout"' in rule for rule in rules)
