"""The generated reference pages are those of the code as it is."""

from __future__ import annotations

from config import reference


def test_the_reference_pages_are_current() -> None:
    for name, text in reference.pages().items():
        written = (reference.DIRECTORY / name).read_text(encoding="utf-8")
        assert written == text, f"{name}: run `python -m config.reference`"


def test_every_shipped_meter_model_and_every_key_is_on_a_page() -> None:
    pages = reference.pages()
    for path in reference.SHIPPED.glob("*.yaml"):
        assert f"`{path.stem}`" in pages["meter-models.md"]
    for key in reference.CHINESE:
        assert f"`{key.rsplit('.', 1)[-1]}`" in pages["configuration.md"] or key in pages["configuration.md"]
