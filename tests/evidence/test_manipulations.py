"""The manipulations of docs/evidence/manipulations.md: each is found where it must be, the harmless ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.evidence_manipulations import SCENES
from bench.manipulated import Case, Scene, copy_of, honest


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return honest(tmp_path_factory.mktemp("manipulations") / "base")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.area}: {scene.name}")
def test_a_manipulation_is_found_at_its_first_bad_index(base: Case, tmp_path: Path, scene: Scene) -> None:
    case = copy_of(base, tmp_path / "case")
    expected = scene.act(case)
    found = scene.judge(case)
    if scene.code:
        assert scene.code in found.codes
        assert found.first_bad == expected
    else:
        assert not found.codes
