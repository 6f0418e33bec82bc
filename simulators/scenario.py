"""A scenario: which faults happen when, as data.

    faults:
      - {at: 10min, for: 30s, meter: m-101, fault: silent}
      - {at: 1h, line: east, fault: noise, amount: 0.001}
      - {at: 1h, for: 10min, gateway: gw-1, fault: broker_gone}

An `exercise:` beside the faults is for people (agent/cli/simulate.py shows it): `{zh: …, en: …, cause: …}`.

`at` and `for` count in the simulated park's time from the start; without `at` from the beginning, without `for` for
ever. What `amount` means is listed with the kinds in faults.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

from config.compose import compose
from config.faults import Findings, Path, suggestion
from simulators.faults import GATEWAY_FAULTS, LINE_FAULTS, METER_FAULTS, Fault

SECONDS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
KEYS = ("at", "for", "meter", "line", "gateway", "fault", "amount")
LARGEST = 1e9


def read_scenario(
    text: str, findings: Findings, *, meters: Collection[str], lines: Collection[str], gateway: str = ""
) -> list[Fault]:
    """The faults of a scenario file's text, times in ms from the start. What is wrong goes to `findings`, all of it."""
    data = compose(text, findings)
    if findings.faults:
        return []
    if not isinstance(data, dict) or not isinstance(data.get("faults"), list):
        findings.fault((), "需要 faults: 故障列表", "needs faults: a list")
        return []
    for key in data.keys() - {"faults", "exercise"}:
        findings.fault((key,), "未知的键", "unknown key", at_key=True)
    targets = {
        "meter": (METER_FAULTS, meters),
        "line": (LINE_FAULTS, lines),
        "gateway": (GATEWAY_FAULTS, (gateway,)),
    }
    reader = _Reader(findings, targets)
    faults = [reader.fault(entry, ("faults", n)) for n, entry in enumerate(data["faults"])]
    return [fault for fault in faults if fault is not None]


def read_exercise(text: str) -> dict[str, str]:
    """What stands under `exercise`: `zh`, `en`, `cause` (a code of agent/field/diagnosis.py); empty if nothing does."""
    data = compose(text, Findings("exercise"))
    exercise = data.get("exercise") if isinstance(data, dict) else None
    return {str(key): str(value) for key, value in exercise.items()} if isinstance(exercise, dict) else {}


class _Reader:
    def __init__(self, findings: Findings, targets: dict[str, tuple[dict[str, str], Collection[str]]]) -> None:
        self._findings = findings
        self._targets = targets

    def fault(self, entry: Any, path: Path) -> Fault | None:
        before = len(self._findings.faults)
        if not isinstance(entry, dict):
            self._findings.fault(path, "要是一个映射", "must be a mapping")
            return None
        for key in entry.keys() - set(KEYS):
            zh, en = suggestion(key, KEYS)
            self._findings.fault((*path, key), f"未知的键{zh}", f"unknown key{en}", at_key=True)
        target = self._target(entry, path)
        start, length = self._ms(entry, "at", path), self._ms(entry, "for", path)
        amount = self._amount(entry, path)
        if len(self._findings.faults) > before or target is None:
            return None
        start = start or 0
        return Fault(str(entry["fault"]), target, start, None if length is None else start + length, amount)

    def _target(self, entry: dict[str, Any], path: Path) -> str | None:
        named = [key for key in self._targets if entry.get(key) is not None]
        if len(named) != 1:
            self._findings.fault(path, "要写 meter、line、gateway 之一", "needs one of meter, line, gateway")
            return None
        kinds, known = self._targets[named[0]]
        for key, value, choices in (("fault", entry.get("fault"), kinds), (named[0], entry[named[0]], known)):
            if not isinstance(value, str) or value not in choices:
                zh, en = suggestion(str(value), choices)
                self._findings.fault((*path, key), f"没有 {value}{zh}", f"there is no {value}{en}")
        return str(entry[named[0]])

    def _ms(self, entry: dict[str, Any], key: str, path: Path) -> int | None:
        value = entry.get(key)
        if value is None:
            return None
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|min|h|d)", str(value))
        if match is None:
            self._findings.fault((*path, key), "要写成 30s、10min、2h", "must be like 30s, 10min or 2h")
            return None
        return round(float(match[1]) * SECONDS[match[2]] * 1000)

    def _amount(self, entry: dict[str, Any], path: Path) -> float:
        value = entry.get("amount") or "0"
        try:
            amount = float(value)
        except (TypeError, ValueError):
            amount = math.nan
        if not abs(amount) < LARGEST:
            self._findings.fault((*path, "amount"), f"{value!r} 不是数", f"{value!r} is not a number")
        return amount
