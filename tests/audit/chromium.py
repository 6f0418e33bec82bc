"""Chromium for the audit's pages: a script run by node, which prints what it saw as JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NODE = shutil.which("node")
CACHE = Path(os.environ.get("HUBIAO_TEST_TOOLS") or Path.home() / ".cache" / "hubiao-tests")
LIMIT_S = 120

missing = [name for name, found in (("chromium", CHROMIUM), ("node", NODE)) if not found]
if not (CACHE / "node_modules" / "playwright-core").is_dir():
    missing.append(f"playwright-core in {CACHE}")
in_browser = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (sh tests/setup-tools.sh)")


def look(script: str, tmp_path: Path, **given: Any) -> dict[str, Any]:
    """Runs a script beside this file; `given` reaches it as a file, with where playwright and Chromium are."""
    told = tmp_path / "given.json"
    told.write_text(json.dumps({"playwright": str(CACHE), "chromium": CHROMIUM, **given}), encoding="utf-8")
    words = [str(NODE), str(Path(__file__).with_name(script)), str(told)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
