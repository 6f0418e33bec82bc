"""Keeps the agent's process small: what is hardly ever used is not imported, what is free goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

M_ARENA_MAX = -8  # malloc.h of glibc


def put_off(name: str) -> None:
    """Has a submodule, unless it is here already, imported only when something of it is used.

    `importlib.util.LazyLoader` does not do: CPython's `import` looks at the module that it finds, and so loads it.
    """
    if name in sys.modules:
        return
    package, _, last = name.rpartition(".")
    standing_in = ModuleType(name)

    def use(attribute: str) -> Any:
        if sys.modules.get(name) is standing_in:
            del sys.modules[name]
        return getattr(import_module(name), attribute)  # which also takes our place in the package

    standing_in.__getattr__ = use  # type: ignore[method-assign]  # PEP 562
    sys.modules[name] = standing_in
    setattr(import_module(package), last, standing_in)


def one_heap() -> None:
    """Has all threads share one heap; to be called before the first of them starts.

    By itself glibc gives each thread one, and what a thread used once for reading a month back stays behind in its own.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def give_back() -> None:
    """Returns free memory inside the heap to the system, milliseconds; glibc by itself only does so at its end."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)
