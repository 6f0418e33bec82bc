"""The configuration of an older version still loads: as it was, or under new names with a notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import renamed
from config.load import load

ROOT = Path(__file__).parents[2]
RELEASED = sorted((ROOT / "tests" / "golden").glob("config-*.yaml"))
SMALL = (ROOT / "config" / "samples" / "small.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_the_full_configuration_of_every_released_version_loads(released: Path) -> None:
    loaded = load(released)
    assert loaded.faults == []
    assert loaded.config is not None


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "park.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_old_name_is_read_as_the_new_one_and_said_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "RENAMED", {("lines", "device"): "port", ("gateway", "name"): "id"})
    older = SMALL.replace("port: /dev", "device: /dev").replace("gateway: {id:", "gateway: {name:")
    loaded = load(written(tmp_path, older))
    assert loaded.faults == []
    now = load(written(tmp_path, SMALL))
    assert loaded.config == now.config
    said = [notice.en for notice in loaded.notices if notice not in now.notices]
    assert [text.split(";")[0] for text in said] == [
        "device in lines is now called port",
        "name in gateway is now called id",
    ]


def test_a_fault_under_an_old_name_is_shown_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "RENAMED", {("lines", "device"): "port"})
    text = SMALL.replace("port: /dev/ttyRS485-1", "device: nonsense")
    (fault,) = load(written(tmp_path, text)).faults
    line = next(n for n, one in enumerate(text.splitlines(), 1) if "device: nonsense" in one)
    assert fault.line == line
    assert fault.column == text.splitlines()[line - 1].index("nonsense") + 1


def test_both_names_at_once_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "RENAMED", {("lines", "device"): "port"})
    text = SMALL.replace("port: /dev/ttyRS485-1", "port: /dev/ttyRS485-1, device: /dev/ttyS0")
    assert [fault.key for fault in load(written(tmp_path, text)).faults] == ["lines.0.device"]
