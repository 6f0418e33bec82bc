"""Loads meter models: YAML files, one a model, shipped in `config/meters/` or laid down by the site.

Every scalar stays text (`0x0048`, `0.10`, `no` mean what they say). What a Modbus model means is checked by
`drivers.modbus.model.parse`; this file only finds, reads and hashes. A site uses a few of the models shipped, and YAML
is slow to read: shipped files are found by their `id:` and `also: […]` lines and read when asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

SHIPPED = Path(__file__).parent / "meters"


class ModelFile(NamedTuple):
    """data: mappings, lists and text; text: the file as it is; sha256: of the text in UTF-8, hex."""

    data: dict[str, Any]
    text: str
    sha256: str


class ModelFileError(ValueError):
    """A model file that cannot be read; the message names file, line and column where known."""


class Models(Mapping[str, ModelFile]):
    """Models by id, and by each id under their `also`. Asking for one may raise ModelFileError."""

    def __init__(self, texts: Mapping[str, tuple[str, str]], read: Mapping[str, ModelFile]) -> None:
        self._texts = texts  # id to (file name, text)
        self._read = dict(read)
        self.own = dict(read)  # of the site

    def __getitem__(self, name: str) -> ModelFile:
        if name not in self._read:
            where, text = self._texts[name]
            self._read[name] = _model_file(text, where)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts.keys() | self._read.keys())

    def __len__(self) -> int:
        return len(self._texts.keys() | self._read.keys())


def load_models(site: Path | None = None) -> Models:
    """Every model there is. Models in the directory `site` replace shipped ones and are all read at once.

    Raises ModelFileError: unreadable, no YAML, no id, one id in two files of a directory.
    """
    shipped: dict[str, tuple[str, str]] = {}
    for path in sorted(SHIPPED.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        shipped |= dict.fromkeys(_ids_of_shipped(text), (path.name, text))
    return Models(shipped, {} if site is None else _directory(site))


def read_model(text: str, where: str = "model") -> dict[str, Any]:
    """The data of one model file's text, as kept in `config` records. Raises ModelFileError."""
    try:
        node = YAML(typ="rt", pure=True).compose(text)
    except YAMLError as error:
        raise ModelFileError(f"{where}: {error}") from error
    data = _plain(node, where)
    if not isinstance(data, dict):
        raise ModelFileError(f"{where}: not a mapping of keys")
    return data


def _directory(directory: Path) -> dict[str, ModelFile]:
    found: dict[str, ModelFile] = {}
    for path in sorted(directory.glob("*.yaml")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelFileError(f"{path.name}: {error}") from error
        file = _model_file(text, path.name)
        for model_id in (file.data["id"], *file.data.get("also", [])):
            if model_id in found:
                raise ModelFileError(f"{path.name}: {model_id} is already in another file")
            found[model_id] = file
    return found


def _model_file(text: str, where: str) -> ModelFile:
    data = read_model(text, where)
    if not isinstance(data.get("id"), str) or not isinstance(data.get("also", []), list):
        raise ModelFileError(f"{where}: id is missing, or also is not a list")
    return ModelFile(data, text, hashlib.sha256(text.encode()).hexdigest())


def _ids_of_shipped(text: str) -> list[str]:
    """The ids of a file written as ours are: `id: x` and `also: [y, z]`, each on a line of its own."""
    also = re.search(r"^also: \[(.*)\]$", text, re.MULTILINE)
    return re.findall(r"^id: (\S+)$", text, re.MULTILINE) + (also[1].split(", ") if also else [])


def _plain(node: Node | None, where: str) -> Any:
    if isinstance(node, ScalarNode):
        return str(node.value)
    if isinstance(node, SequenceNode):
        return [_plain(one, where) for one in node.value]
    if isinstance(node, MappingNode):
        data: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in data:
                line = key.start_mark.line + 1
                raise ModelFileError(f"{where}, line {line}: {name} stands here a second time")
            data[name] = _plain(value, where)
        return data
    raise ModelFileError(f"{where}: empty")
