"""Chinese and English: the language of this run, and picking a text for it."""

from __future__ import annotations

import locale
import os

_language: str | None = None


def set_language(language: str) -> None:
    global _language
    _language = language


def language() -> str:
    """`zh` or `en`: --lang, else the locale's."""
    if _language is not None:
        return _language
    named = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    if not named:
        named = locale.getlocale()[0] or ""
    return "zh" if named.lower().startswith(("zh", "chinese")) else "en"


def t(zh: str, en: str) -> str:
    """The text in the language of this run."""
    return zh if language() == "zh" else en
