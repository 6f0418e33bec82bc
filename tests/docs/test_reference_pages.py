"""The generated reference pages are those of the code as it is."""

from __future__ import annotations

import pytest

from config import reference
from config.reference_words import CHINESE
from contract.events import EVENTS


def test_the_reference_pages_are_current() -> None:
    for name, text in reference.pages().items():
        written = (reference.DIRECTORY / name).read_text(encoding="utf-8")
        assert written == text, f"{name}: run `python -m config.reference`"


@pytest.mark.parametrize("end", [".md", ".zh.md"])
def test_every_shipped_meter_model_every_key_and_every_event_is_on_a_page(end: str) -> None:
    pages = reference.pages()
    for path in reference.SHIPPED.glob("*.yaml"):
        assert f"`{path.stem}`" in pages[f"meter-models{end}"]
    for key in CHINESE:
        assert f"`{key.rsplit('.', 1)[-1]}`" in pages[f"configuration{end}"] or key in pages[f"configuration{end}"]
    for code in EVENTS:
        assert f"`{code}`" in pages[f"events{end}"]


def test_the_form_of_a_number_of_phases_is_a_number() -> None:
    assert "| `phases` | `1` `2` `3` |" in reference.pages()["configuration.md"]
