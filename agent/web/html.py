"""Markup that cannot be broken into: every text is escaped unless it is markup already (pure).

    el("td", meter.room, class_="room")  →  <td class="room">1-101 &amp; 1-102</td>

No style and no script ever stands in a page: the pages' Content-Security-Policy refuses both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

Say = Callable[[str, str], str]  # (zh, en) → the text in the reader's language
Attribute = str | int | bool | None
VOID = frozenset({"input", "link", "meta", "br", "path"})


class Html(str):
    """Text that is markup."""

    __slots__ = ()


Child = str | int | None
Children = Child | Iterable["Child"]


def el(tag: str, *children: Children, **attributes: Attribute) -> Html:
    """An element. Names: `class_` is class, `data_id` is data-id. None and False leave an attribute out."""
    parts = ["<", tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        written = name.rstrip("_").replace("_", "-")
        parts.append(f" {written}" if value is True else f' {written}="{escape(str(value))}"')
    parts.append(">")
    if tag not in VOID:
        for child in children:
            parts.append(_written(child))
        parts.append(f"</{tag}>")
    return Html("".join(parts))


def join(children: Iterable[Child]) -> Html:
    """Children one after the other."""
    return Html("".join(map(_written, children)))


def say_in(language: str) -> Say:
    """Picks texts in `zh` or `en`."""
    return (lambda zh, en: zh) if language == "zh" else (lambda zh, en: en)


def _written(child: Children) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return escape(child)
    if isinstance(child, int):
        return str(child)
    return "".join(map(_written, child))
