"""What is wrong with a configuration, where, and in both languages; what a load gives. No I/O, no pydantic.

A fault prints as `file:line:column: key: what is wrong`, lines and columns counted from 1; in a spreadsheet the row
and the number of the cell. A notice is said aloud and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Path = tuple[str | int, ...]


class Place(NamedTuple):
    """A place in a file, counted from 1; line 0: the file as a whole."""

    file: str
    line: int
    column: int


class Wrong(ValueError):
    """A value that does not do, and why, in Chinese and English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that must be put right before the configuration is used."""

    file: str
    line: int
    column: int
    key: str
    zh: str
    en: str

    def message(self, language: str = "en") -> str:
        return self.zh if language == "zh" else self.en

    def text(self, language: str = "en") -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.key}: {self.message(language)}"

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing worth knowing."""

    zh: str
    en: str

    def text(self, language: str = "en") -> str:
        return self.zh if language == "zh" else self.en

    def __str__(self) -> str:
        return self.en


@dataclass(slots=True)
class Loaded:
    """The effective configuration (docs/effective-configuration.md), None while there are faults."""

    config: dict[str, Any] | None
    faults: list[Fault]
    notices: list[Notice]

    def fault_texts(self, language: str = "en") -> str:
        """All faults, one a line."""
        return "\n".join(fault.text(language) for fault in self.faults)


@dataclass(slots=True)
class Findings:
    """Collects faults and notices of one load; knows where each key stands.

    values, keys: path in the data → where its value, its key begins. A path that has a fault gets no second one: what
    follows from a first fault is no news.
    """

    file: str
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    _told: set[Path] = field(default_factory=set)

    def place(self, path: Path) -> Place:
        """Where the value of a path begins; that of the nearest container if the path is not there."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(self.file, 1, 1))

    def fault(self, path: Path, zh: str, en: str, *, at_key: bool = False, place: Place | None = None) -> None:
        if path in self._told:
            return
        self._told.add(path)
        found = place or (self.keys.get(path) if at_key else None) or self.place(path)
        self.faults.append(Fault(*found, dotted(path), zh, en))

    def notice(self, zh: str, en: str) -> None:
        self.notices.append(Notice(zh, en))

    def result(self, config: dict[str, Any] | None) -> Loaded:
        """Faults in the order of the file, the main file first."""
        order = {file: n for n, file in enumerate(dict.fromkeys([self.file, *(f.file for f in self.faults)]))}
        faults = sorted(self.faults, key=lambda f: (order[f.file], f.line, f.column))
        return Loaded(None if faults else config, faults, self.notices)


def dotted(path: Path) -> str:
    """`meters.3.address`; items count from 0 as in JSON. `-` for the file as a whole."""
    return ".".join(map(str, path)) or "-"


def suggestion(word: str, known: Iterable[str]) -> tuple[str, str]:
    """«did you mean» in both languages, empty if nothing is near."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return (f",是不是 {near[0]}?", f", did you mean {near[0]}?") if near else ("", "")
