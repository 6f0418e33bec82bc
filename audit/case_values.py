"""Single values of a settlement case: reads them out of parsed JSON, notes each fault with its path and goes on (pure).

Decimals are text; whole numbers may stand without quotes; a JSON number with a fraction is refused, because other
readers make a float of it. What the values mean together is `cases`' matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from audit.amounts import CENT, parse_decimal
from contract.records import PERIODS

ALL_PERIODS = (*PERIODS, "unclassified", "unclassified_holiday")

Energy = dict[str, Fraction]  # period → kWh


class CaseError(ValueError):
    """A case that cannot be settled; `faults` names all of them, `path: what is wrong`."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Values:
    """Reads value by value; a fault is noted and reading goes on with something harmless. `unused`: unknown keys."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.unused: list[str] = []
        self._no_objects: tuple[str, ...] = ()  # what would stand below them is no news

    def fault(self, path: str, text: str) -> None:
        if not f"{path}.".startswith(self._no_objects):
            self.faults.append(f"{path}: {text}")

    def object(self, data: Any, path: str, known: str | None) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            self.fault(path, "missing" if data is None else "must be an object")
            self._no_objects += (f"{path}.",)
            return {}
        if known is not None:
            self.unused += [f"{path}.{key}" for key in data if key not in known.split()]
        return dict(data)

    def objects(
        self, parent: dict[str, Any], key: str, path: str, known: str | None
    ) -> list[tuple[str, dict[str, Any]]]:
        """The objects of a list with their paths; an absent list is an empty one."""
        value = parent.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(f"{path}.{key}", "must be a list")
            return []
        return [(f"{path}.{key}[{i}]", self.object(item, f"{path}.{key}[{i}]", known)) for i, item in enumerate(value)]

    def name(self, data: dict[str, Any], key: str, path: str) -> str:
        value = data.get(key)
        if not isinstance(value, str) or not value:
            self.fault(f"{path}.{key}", "missing" if value is None else f"{value!r} is no name")
            return f"{path}.{key}"
        return value

    def identity(self, data: dict[str, Any], path: str, seen: set[str]) -> str:
        name = self.name(data, "id", path)
        if name in seen:
            self.fault(f"{path}.id", f"{name!r} is there twice")
        seen.add(name)
        return name

    def choice(self, value: Any, allowed: tuple[str, ...], path: str) -> str:
        if value in allowed:
            return str(value)
        self.fault(path, "missing" if value is None else f"{value!r} is none of {', '.join(allowed)}")
        return allowed[0]

    def flag(self, data: dict[str, Any], key: str, path: str, *, default: bool) -> bool:
        value = data.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(f"{path}.{key}", f"{value!r} is neither true nor false")
        return value is True

    def number(
        self,
        data: dict[str, Any],
        key: str,
        path: str,
        *,
        minimum: Fraction | None = None,
        default: Fraction | None = None,
    ) -> Fraction:
        value = data.get(key)
        if value is None and default is not None:
            return default
        return self.decimal(value, f"{path}.{key}", minimum)

    def yuan(self, data: dict[str, Any], key: str, path: str) -> Fraction:
        amount = self.number(data, key, path)
        if (amount / CENT).denominator != 1:
            self.fault(f"{path}.{key}", f"{data[key]} yuan is no whole number of cents")
        return amount

    def energy(self, data: Any, path: str) -> Energy:
        """{period: kWh}; a bare decimal is energy without a period and counts as flat."""
        if isinstance(data, (str, int)) and not isinstance(data, bool):
            return {"flat": self.decimal(data, path, minimum=Fraction())}
        if not isinstance(data, Mapping):
            self.fault(path, "must be an object of period to kWh")
            return {}
        result: Energy = {}
        for period in data:
            if period not in ALL_PERIODS:
                self.fault(f"{path}.{period}", f"none of {', '.join(ALL_PERIODS)}")
                continue
            result[period] = self.number(dict(data), period, path, minimum=Fraction())
        return result

    def decimal(self, value: Any, path: str, minimum: Fraction | None = None) -> Fraction:
        if isinstance(value, (float, Decimal)):
            self.fault(path, f'{value} must stand in quotes: "{value}"')
        elif value is None:
            self.fault(path, "missing")
        elif isinstance(value, bool) or not isinstance(value, (str, int)):
            self.fault(path, f"{value!r} is no decimal")
        else:
            try:
                result = parse_decimal(str(value))
            except ValueError as error:
                self.fault(path, str(error))
            else:
                if minimum is None or result >= minimum:
                    return result
                self.fault(path, f"{value} is below {minimum}")
        return minimum or Fraction()
