"""The agent's process holds what it uses, and nothing of what only other verbs need."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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
NOT_WANTED |= {"websockets", "agent.delivery.websocket"}  # until the broker's URL is ws:// or wss://
HARDLY_USED = {"http.client", "email", "tempfile", "shutil", "bz2", "difflib", "statistics"}


def test_the_agent_imports_no_more_than_it_uses() -> None:
    done = subprocess.run([sys.executable, "-c", AGENT], capture_output=True, text=True, check=True)
    modules, after = done.stdout.splitlines()
    assert not (NOT_WANTED | HARDLY_USED) & set(modules.split())
    assert after == "True True"  # what was put off is there when it is used


HEAPS = """
import ctypes, sys, threading
from agent.lean import one_heap
if sys.argv[1] == "one":
    one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def use():
    assert libc.malloc(ctypes.c_size_t(50_000))
    ready.wait()
ready = threading.Barrier(4)
threads = [threading.Thread(target=use) for _ in range(3)]
for thread in threads:
    thread.start()
ready.wait()
for thread in threads:
    thread.join()
libc.malloc_stats()  # glibc's, to standard error
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_threads_share_one_heap() -> None:
    def heaps(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True)
        return done.stderr.count("Arena ")

    assert heaps("own") > 1
    assert heaps("one") == 1
