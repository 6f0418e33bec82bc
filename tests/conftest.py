"""What every test starts from."""

from __future__ import annotations

import pytest

from agent.cli import words


@pytest.fixture(autouse=True)
def no_language_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process starts: another test's `--lang` is none of ours."""
    monkeypatch.setattr(words, "_language", None)
