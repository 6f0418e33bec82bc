"""Changing a configuration file as a careful person does: comments kept, checked whole before it replaces the old."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.cli import Failure
from agent.cli.output import notice
from agent.cli.places import local_text
from agent.cli.words import language

SPOKEN = re.compile(r"[A-Za-z\u4e00-\u9fff][\w./-]*")  # needs no quotes to be read as text
Change = Callable[[Any], None]  # takes the file's content as ruamel's round-trip mapping


def edit(path: Path, change: Change) -> dict[str, Any]:
    """Applies a change to the file, says what is new to notice of it; gives the effective configuration it has now.

    Exit 78 with every fault if the changed file would not be valid: then the old one stays as it is. Exit 74 where the
    directory refuses.
    """
    from config.load import load  # pydantic and ruamel: only for verbs that change a configuration

    noticed = load(path).notices
    yaml = _yaml()
    content = yaml.load(path.read_text("utf-8"))
    change(content)
    text = io.StringIO()
    yaml.dump(content, text)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        aside = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())
            loaded = load(aside)
            if loaded.config is None:
                faults = "\n".join(map(str, loaded.faults)).replace(str(aside), str(path))
                raise Failure(faults, 78)
            shutil.copymode(path, aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", 74) from error
    for said in loaded.notices:
        if said not in noticed:
            notice(said.text(language()))
    return loaded.config


def _yaml() -> Any:
    """Round trip in which every scalar is the text that it was: `8E1`, `000012`, `no` and `12:30` stay themselves."""
    from ruamel.yaml import YAML
    from ruamel.yaml.resolver import VersionedResolver

    class Literally(VersionedResolver):
        @property
        def versioned_resolver(self) -> Any:
            return {}

    yaml = YAML()
    yaml.Resolver = Literally
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    return yaml


def section(content: Any, key: str) -> Any:
    """The list under a key, made if it is not there."""
    if not content.get(key):
        content[key] = []
    return content[key]


def entry_of(content: Any, key: str, id_: str, name: str = "id") -> Any | None:
    """The entry of a list by its id, as it stands in the file; None where it is written elsewhere or not at all."""
    return next((entry for entry in content.get(key) or [] if str(entry.get(name)) == id_), None)


def flow(entries: dict[str, Any]) -> Any:
    """A mapping that is written on one line, without its empty values; what looks like a number is quoted."""
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    line = CommentedMap()
    for key, value in entries.items():
        if isinstance(value, Decimal):
            line[key] = DoubleQuotedScalarString(format(value, "f"))
        elif value is not None:
            text = str(value)
            line[key] = text if SPOKEN.fullmatch(text) else DoubleQuotedScalarString(text)
    line.fa.set_flow_style()
    return line


def bound_text(slot_s: int, offset_s: int, offset: str) -> str:
    """A slot as files say it: park-local with its offset."""
    return local_text(slot_s, offset_s, "%Y-%m-%dT%H:%M:%S") + offset
