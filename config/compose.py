"""YAML text → plain data in which every scalar is text, with the place of every key and value. No I/O.

`000012345678`, `8E1`, `no` and `12:30` therefore mean what they say. Only an empty value, `~` and `null` are None.
Duplicate keys, tags and keys that are not text are faults; anchors, aliases and merge keys (`<<`) work as in
YAML 1.1. What the parser cannot read is one fault with its place. It does not know what any key means.
"""

from __future__ import annotations

import warnings
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from config.faults import Findings, Path, Place

MAX_VALUES = 200_000  # aliases of aliases grow exponentially: far above any park, far below memory
MAX_DEPTH = 50
NULLS = ("", "~", "null", "Null", "NULL")
STANDARD_TAG = "tag:yaml.org,2002:"
MERGE_TAG = STANDARD_TAG + "merge"


def compose(text: str, findings: Findings) -> Any:
    """Dicts, lists, text and None; places go to `findings`. None where the text is no YAML (a fault says so)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor used twice: the later one counts, as YAML says
            node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        _syntax(findings, error)
        return None
    except ReaderError as error:
        _unreadable(findings, text, int(error.position))
        return None
    except YAMLError as error:
        findings.fault((), f"不是有效的 YAML:{error}", f"not valid YAML: {error}")
        return None
    except (OverflowError, ValueError) as error:  # `"\\U99999999"`: an escape that names no character
        findings.fault((), f"不是有效的 YAML 转义:{error}", f"not a valid YAML escape: {error}")
        return None
    except RecursionError:
        findings.fault((), "嵌套过深", "nested too deeply")
        return None
    if node is None:
        return {}
    return _Builder(findings).build(node, ())


def decode(data: bytes, findings: Findings) -> str | None:
    """UTF-8 with or without BOM; None and a fault with its place otherwise."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        findings.fault(
            (),
            "文件不是 UTF-8 编码,请另存为 UTF-8",
            "the file is not UTF-8 here; save it as UTF-8",
            place=Place(findings.file, line, column),
        )
        return None


def _syntax(findings: Findings, error: MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    place = Place(findings.file, mark.line + 1, mark.column + 1) if mark else Place(findings.file, 1, 1)
    problem = str(error.problem or error.context or "syntax")
    if "\\t" in problem:
        zh, en = "缩进里有制表符(Tab),请改用空格", "a tab in the indentation; use spaces"
    else:
        zh, en = f"YAML 语法错误:{problem}", f"YAML syntax: {problem}"
    findings.fault((), zh, en, place=place)


def _unreadable(findings: Findings, text: str, position: int) -> None:
    before = text[:position]
    place = Place(findings.file, before.count("\n") + 1, position - before.rfind("\n"))
    findings.fault((), "有不可见的控制字符", "a control character that YAML does not allow", place=place)


class _Builder:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._open: set[int] = set()  # nodes being built: an alias to one of them has no end
        self._left = MAX_VALUES

    def build(self, node: Node, path: Path) -> Any:
        place = self._place(node)
        self._findings.values[path] = place
        self._left -= 1
        if id(node) in self._open or len(path) > MAX_DEPTH or self._left < 0:
            self._findings.fault(path, "引用自身、嵌套过深或过大", "refers to itself, or is too deep or too large")
            return None
        if not str(node.tag).startswith(STANDARD_TAG):
            self._findings.fault(path, f"不支持标签 {node.tag}", f"tags like {node.tag} mean nothing here")
            return None
        if isinstance(node, ScalarNode):
            return None if node.style is None and node.value in NULLS else str(node.value)
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            return [self.build(item, (*path, n)) for n, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in sorted(node.value, key=lambda pair: pair[0].tag != MERGE_TAG):  # so own places win
            if key.tag == MERGE_TAG:
                merged = {**merged, **self._merge(value, path)}
            elif not isinstance(key, ScalarNode):
                self._findings.fault(path, "键必须是文字", "a key must be text", place=self._place(key))
            elif key.value in own:
                self._duplicate(key, (*path, str(key.value)))
            else:
                name = str(key.value)
                self._findings.keys[(*path, name)] = self._place(key)
                own[name] = self.build(value, (*path, name))
        return {**merged, **own}

    def _merge(self, node: Node, path: Path) -> dict[str, Any]:
        """`<<: *a` or `<<: [*a, *b]`, the first of a list winning; keys of the mapping itself win over both."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        result: dict[str, Any] = {}
        for source in reversed(sources):
            if not isinstance(source, MappingNode) or id(source) in self._open:
                self._findings.fault(
                    (*path, "<<"), "<< 只能引用映射", "<< takes a mapping or a list of them", place=self._place(source)
                )
                continue
            self._open.add(id(source))
            result |= self._mapping(source, path)
            self._open.discard(id(source))
        return result

    def _duplicate(self, key: ScalarNode, path: Path) -> None:
        first = self._findings.keys[path]
        self._findings.fault(
            path,
            f"键重复,第 {first.line} 行已有",
            f"the key is there twice, first in line {first.line}",
            place=self._place(key),
        )

    def _place(self, node: Node) -> Place:
        return Place(self._findings.file, node.start_mark.line + 1, node.start_mark.column + 1)
