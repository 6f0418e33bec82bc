"""The list of components and the licences name what is inside: wheels, and the script that our own wheel carries."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_bill_names_wheels_and_the_carried_script_with_hashes_and_licences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "packaging")
    import bill_of_materials

    own, library = tmp_path / "hubiao-9-py3-none-any.whl", tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(own, "w") as archive:
        for file in (ROOT / "agent/web/static").glob("uPlot*"):
            archive.write(file, file.relative_to(ROOT))
    with zipfile.ZipFile(library, "w") as archive:
        archive.writestr("a-1.dist-info/METADATA", "Name: a\nVersion: 1\nLicense-Expression: BSD-3-Clause\n")
        archive.writestr("a-1.dist-info/licenses/LICENSE", "Redistribution is permitted.")
    bill = json.loads(bill_of_materials.bill("9", own, [library], "2026-11-28T00:00:00Z"))
    script, wheel = bill["components"]
    assert (script["name"], wheel["name"]) == ("uplot", "a")
    assert script["purl"] == f"pkg:npm/uplot@{script['version']}"
    assert all(len(part["hashes"][0]["content"]) == 64 for part in (script, wheel))
    page = bill_of_materials.licences(own, [library])
    assert f"- uPlot {script['version']}: MIT\n- a 1: BSD-3-Clause\n" in page
    assert "Copyright (c)" in page
    assert "Redistribution is permitted." in page
