"""What becomes of a verb whose standard output goes nowhere: it ends as it should, and never with a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HUBIAO = f"{sys.executable} {Path(sys.executable).with_name('hubiao')} --lang en"


def shell(script: str) -> tuple[int, str]:
    ran = subprocess.run(["bash", "-c", f"set -o pipefail; {script}"], capture_output=True, text=True, check=False)
    return ran.returncode, ran.stderr


def test_a_reader_that_leaves_is_no_failure() -> None:
    assert shell(f"{HUBIAO} frame 68AAAAAAAAAAAA681300DF16 | true") == (0, "")


def test_a_closed_standard_output_is_no_failure() -> None:
    assert shell(f"{HUBIAO} tariff --schedule zj-2026 2026-07-01 >&-") == (0, "")


def test_a_full_disk_behind_standard_output_is_74_and_says_so() -> None:
    assert shell(f"{HUBIAO} version >/dev/full") == (74, "standard output: No space left on device\n")
