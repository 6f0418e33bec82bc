"""Screens are compared in English, whatever the language of the machine."""

from __future__ import annotations

import pytest

from agent.cli import words


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_language", "en")
