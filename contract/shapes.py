"""From JSON to dataclasses as their annotations say, refusing what does not fit (pure).

    {"kwh": "1.25", "segments": […], …} ──▶ Interval(kwh=Decimal("1.25"), …)      or: segments[0].kwh: 1.25 is no number

What reads a class is worked out once: a start reads a million records back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from decimal import Decimal
from typing import Any, Literal, get_type_hints

Read = Callable[[Any], Any]  # a JSON value → what it says; raises RecordError


class RecordError(ValueError):
    """Bytes that are no record of version 1. `path`: of the value that does not fit, empty for the whole."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(f"{path}: {text}" if path else text)
        self.text, self.path = text, path

    def within(self, step: str) -> RecordError:
        """The same, seen from one level above."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        return RecordError(self.text, f"{step}{joint}{self.path}")


def wire_name(name: str) -> str:
    """`from_` and `import_` are Python's way to say `from` and `import`."""
    return name.removesuffix("_")


_KNOWN: dict[type[Any], Read] = {}


def reader_of(kind: type[Any]) -> Read:
    """What reads an object as a dataclass; unknown fields are ignored."""
    if kind not in _KNOWN:
        _KNOWN[kind] = _object_as(kind)
    return _KNOWN[kind]


def _object_as(kind: type[Any]) -> Read:
    hints = get_type_hints(kind)
    items = [
        (item.name, wire_name(item.name), _reader(hints[item.name]), _is_needed(item.default, item.default_factory))
        for item in fields(kind)
    ]

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise RecordError("not an object")
        values = {}
        for name, wire, read_item, is_needed in items:
            if wire in value:
                try:
                    values[name] = read_item(value[wire])
                except RecordError as error:
                    raise error.within(wire) from None
            elif is_needed:
                raise RecordError("missing", wire)
        return kind(**values)

    return read


def _is_needed(default: Any, factory: Any) -> bool:
    return default is MISSING and factory is MISSING


def _reader(hint: Any) -> Read:
    origin: Any = getattr(hint, "__origin__", None)
    arguments: tuple[Any, ...] = getattr(hint, "__args__", ())
    if hint is Any:
        return lambda value: value
    if origin is Literal:
        return _one_of(arguments)
    if origin is list:
        return _list_of(_reader(arguments[0]))
    if origin is dict:
        return _dict_of(_reader(arguments[1]))
    if type(None) in arguments:  # X | None
        read = _reader(arguments[0])
        return lambda value: None if value is None else read(value)
    if hint is Decimal:
        return _decimal
    if hint in (str, int, bool):
        return _exactly(hint)
    return reader_of(hint)


def _one_of(words: tuple[Any, ...]) -> Read:
    def read(value: Any) -> Any:
        if value not in words:
            raise RecordError(f"{value!r} is none of {', '.join(map(str, words))}")
        return value

    return read


def _list_of(read_item: Read) -> Read:
    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise RecordError("not a list")
        found = []
        for n, item in enumerate(value):
            try:
                found.append(read_item(item))
            except RecordError as error:
                raise error.within(f"[{n}]") from None
        return found

    return read


def _dict_of(read_item: Read) -> Read:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise RecordError("not an object")
        found = {}
        for key, item in value.items():
            try:
                found[key] = read_item(item)
            except RecordError as error:
                raise error.within(key) from None
        return found

    return read


def _exactly(kind: type[Any]) -> Read:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise RecordError(f"{value!r} is no {kind.__name__}")
        return value

    return read


def _decimal(value: Any) -> Decimal:
    if isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdigit():
        return Decimal(value)
    raise RecordError(f"{value!r} is no decimal in plain notation")
