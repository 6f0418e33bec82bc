"""A file of settlement cases: JSON with exact numbers, one object with `inputs` or several under `cases`.

Form: examples/settlement-cases.json. What stands inside `inputs` is `cases`' matter.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from audit.case_values import CaseError


class Case(NamedTuple):
    """`id` is None for a file that is one object with `inputs`."""

    id: str | None
    inputs: dict[str, Any]
    config: dict[str, Any]
    path: str


def read_cases(path: pathlib.Path) -> list[Case]:
    """The cases of a file, not yet looked into. Raises CaseError if it is no JSON or no case file; OSError."""
    faults: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        faults.extend(
            f"{name}: the key is there twice in one object" for name in {n for n in names if names.count(n) > 1}
        )
        return dict(pairs)

    try:
        data = json.loads(
            path.read_bytes().decode("utf-8-sig"),
            object_pairs_hook=members,
            parse_float=Decimal,
            parse_constant=Decimal,
        )
    except json.JSONDecodeError as error:
        raise CaseError([f"{error.lineno}:{error.colno}: not JSON: {error.msg}"]) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise CaseError([f"1:1: not JSON in UTF-8: {error}"]) from error
    if faults:
        raise CaseError(sorted(faults))
    return list(_cases(data))


def _cases(data: Any) -> Iterator[Case]:
    if not isinstance(data, dict) or ("cases" in data) == ("inputs" in data):
        raise CaseError(["-: must be an object with inputs, or with cases"])
    common = data.get("defaults", {})
    if "inputs" in data:
        yield Case(None, data["inputs"], _config(common, data, ""), "inputs")
        return
    if not isinstance(data["cases"], list):
        raise CaseError(["cases: must be a list"])
    wrong = [
        f"cases[{i}]: must be an object with id and inputs"
        for i, case in enumerate(data["cases"])
        if not _is_case(case)
    ]
    if wrong:
        raise CaseError(wrong)
    for i, case in enumerate(data["cases"]):
        yield Case(str(case["id"]), case["inputs"], _config(common, case, f"cases[{i}]."), f"cases[{i}].inputs")


def _is_case(case: Any) -> bool:
    return isinstance(case, dict) and isinstance(case.get("id"), (str, int)) and "inputs" in case


def _config(common: Any, case: dict[str, Any], path: str) -> dict[str, Any]:
    own = {} if case.get("config") is None else case["config"]
    for name, value in (("defaults", common), (f"{path}config", own)):
        if not isinstance(value, dict):
            raise CaseError([f"{name}: must be an object"])
    return {**common, **own}
