"""How much of a process's memory hangs on one object: everything it refers to, directly or not, counted once.

Where agent and simulators share a process, RSS says nothing of either; this does. It sees Python's objects, not what a
library holds outside them.
"""

from __future__ import annotations

import gc
import sys
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType)  # there once, however long the run
FOREIGN = ("simulators.", "bench.", "asyncio.", "drivers.clock")


def weight_kib(root: object) -> int:
    """KiB of all objects that `root` holds, without classes and code, the simulators and the event loop."""
    seen: set[int] = set()
    stack: list[Any] = [root]
    total = 0
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, SHARED) or type(one).__module__.startswith(FOREIGN):
            continue
        if isinstance(one, dict) and "__builtins__" in one:
            continue  # a module's names
        seen.add(id(one))
        total += sys.getsizeof(one)
        stack += gc.get_referents(one)
    return total // 1024
