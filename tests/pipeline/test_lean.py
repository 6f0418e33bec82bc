"""The agent's process holds what it uses, and nothing of what only other verbs need."""

from __future__ import annotations

import subprocess
import sys

AGENT = """
import sys
import agent.cli.run
from agent.lean import put_off
put_off("urllib.request")
import agent.app, drivers.modbus.meter
print(*sys.modules)
import urllib.request
urllib.request.getproxies()
print(urllib.request is sys.modules["urllib.request"], "http.client" in sys.modules)
"""
NOT_WANTED = {"pydantic", "ruamel", "sqlite_utils", "microdot", "prometheus_client", "openpyxl", "simulators", "audit"}
HARDLY_USED = {"http.client", "email", "tempfile", "shutil", "bz2", "difflib", "statistics"}


def test_the_agent_imports_no_more_than_it_uses() -> None:
    done = subprocess.run([sys.executable, "-c", AGENT], capture_output=True, text=True, check=True)
    modules, after = done.stdout.splitlines()
    assert not (NOT_WANTED | HARDLY_USED) & set(modules.split())
    assert after == "True True"  # what was put off is there when it is used
