"""Keeps the agent's process small: what is hardly ever used is not imported, what is free goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


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


def give_back() -> None:
    """Returns free memory inside the heap to the system, milliseconds; glibc by itself only does so at its end."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)
