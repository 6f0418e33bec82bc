"""Loads meter models: YAML files, one a model, shipped in `config/meters/` or laid down by the site.

Every scalar stays text (`0x0048`, `0.10`, `no` mean what they say). What a Modbus model means is checked by
`drivers.modbus.model.parse`; this file only finds, reads and hashes.
"""

from __future__ import annotations

import hashlib
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


def load_models(site: Path | None = None) -> dict[str, ModelFile]:
    """Every model by id, and by each id under its `also`. Models in the directory `site` replace shipped ones.

    Raises ModelFileError: unreadable, no YAML, no id, one id in two files of a directory.
    """
    models = _directory(SHIPPED)
    if site is not None:
        models |= _directory(site)
    return models


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
        data = read_model(text, path.name)
        also = data.get("also", [])
        if not isinstance(data.get("id"), str) or not isinstance(also, list):
            raise ModelFileError(f"{path.name}: id is missing, or also is not a list")
        for model_id in (data["id"], *also):
            if model_id in found:
                raise ModelFileError(f"{path.name}: {model_id} is already in another file")
            found[model_id] = ModelFile(data, text, hashlib.sha256(text.encode()).hexdigest())
    return found


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
