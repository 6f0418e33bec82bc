"""Whole cases whose results come from outside our code: the published examples and the reference's worked example."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from audit.settle import settle

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
EXAMPLES = json.loads((GOLDEN / "settlement-cases.json").read_text(encoding="utf-8"))["cases"]
WORKED = json.loads((GOLDEN / "settlement-worked-example.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: case["id"])
def test_a_published_case_settles_to_exactly_its_expected_keys_and_values(case: dict[str, Any]) -> None:
    result = settle(case["inputs"])
    for key, value in case["expected"].items():
        assert result[key] == value, key
    assert list(result) == list(case["expected"])
    assert [list(row) for row in result["tenants"]] == [list(row) for row in case["expected"]["tenants"]]


@pytest.mark.parametrize("case", WORKED, ids=lambda case: case["id"])
def test_the_worked_example_gives_every_figure_printed_in_the_reference(case: dict[str, Any]) -> None:
    result = settle(case["inputs"])
    for key, value in case["expected"].items():
        if key != "tenants":
            assert result[key] == value, key
    for expected, row in zip(case["expected"]["tenants"], result["tenants"], strict=True):
        assert {key: row[key] for key in expected} == expected
