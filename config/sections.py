"""Plain data → typed sections, each item by itself, so that one bad item hides no fault of another. No I/O.

An item that is wrong only in optional keys goes on without them; one that cannot go on is left out, but its id stays
known, so that nobody is told of an unknown meter whose only fault is its baud rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from config.faults import Findings, Path, Wrong, suggestion
from config.model import Gateway, Line, Meter, Mqtt, Park, Point, PointMeter, Section, Site, Tenancy, Tenant, Web

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Entry(Generic[S]):
    """A typed item and where it stands in the data."""

    path: Path
    of: S


@dataclass(slots=True)
class Sections:
    """All that could be typed. `ids`: ids as written, by section, of items that could not as well."""

    park: Park | None = None
    gateway: Gateway | None = None
    mqtt: Mqtt | None = None
    web: Web | None = None
    lines: list[Entry[Line]] = field(default_factory=list)
    meters: list[Entry[Meter]] = field(default_factory=list)
    points: list[Entry[Point]] = field(default_factory=list)
    tenancies: list[Entry[Tenancy]] = field(default_factory=list)
    tenants: list[Entry[Tenant]] = field(default_factory=list)
    ids: dict[str, set[str]] = field(default_factory=dict)
    whole: bool = True  # no item was left out


def read_sections(data: dict[str, Any], findings: Findings) -> Sections:
    """Types every section of the root mapping; faults go to `findings`."""
    sections = Sections()
    for key in data:
        if key not in Site.model_fields:
            _unknown(findings, (key,), Site)
    for key in ("park", "gateway"):
        if data.get(key) is None:
            findings.fault((key,), "缺少这一节", "this section is missing")
    sections.park = _section(Park, data, "park", findings)
    sections.gateway = _section(Gateway, data, "gateway", findings)
    sections.mqtt = _section(Mqtt, data, "mqtt", findings)
    sections.web = _section(Web, data, "web", findings)
    sections.lines = _items(Line, data, "lines", findings, sections)
    sections.meters = _items(Meter, data, "meters", findings, sections)
    sections.points = _items(Point, data, "points", findings, sections)
    sections.tenancies = _items(Tenancy, data, "tenancies", findings, sections)
    sections.tenants = _items(Tenant, data, "tenants", findings, sections)
    return sections


def _section(kind: type[S], data: dict[str, Any], key: str, findings: Findings) -> S | None:
    return None if data.get(key) is None else _typed(kind, data[key], (key,), findings)


def _items(kind: type[S], data: dict[str, Any], key: str, findings: Findings, sections: Sections) -> list[Entry[S]]:
    written = data.get(key)
    sections.ids[key] = set()
    if written is None:
        return []
    if not isinstance(written, list):
        findings.fault((key,), "这里要一个列表(每项以 - 开头)", "takes a list (items that begin with -)")
        return []
    entries: list[Entry[S]] = []
    for n, item in enumerate(written):
        path = (key, n)
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            if item["id"] in sections.ids[key]:
                findings.fault((*path, "id"), f"编号 {item['id']} 重复", f"the id {item['id']} is there twice")
            sections.ids[key].add(item["id"])
        typed = _typed(kind, item, path, findings)
        if typed is None:
            sections.whole = False
        else:
            entries.append(Entry(path, typed))
    return entries


def _typed(kind: type[S], value: Any, path: Path, findings: Findings) -> S | None:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        wrong = [(*path, *problem["loc"]) for problem in error.errors(include_url=False)]
        for problem in error.errors(include_url=False):
            _explain(findings, (*path, *problem["loc"]), problem, kind)
    if not isinstance(value, dict) or any(len(at) != len(path) + 1 for at in wrong):
        return None
    try:
        return kind.model_validate({k: v for k, v in value.items() if (*path, k) not in wrong})
    except ValidationError:
        return None


def _explain(findings: Findings, path: Path, problem: Any, kind: type[Section]) -> None:
    reason = problem.get("ctx", {}).get("error")
    if isinstance(reason, Wrong):
        findings.fault(path, reason.zh, reason.en)
    elif problem["type"] == "missing":
        findings.fault(path, "缺少这一项", "is missing")
    elif problem["type"] == "extra_forbidden":
        _unknown(findings, path, kind)
    elif problem["type"] == "list_type":
        findings.fault(path, "这里要一个列表", "takes a list")
    else:
        findings.fault(path, "这里要一个映射(键: 值)", "takes a mapping (key: value)")


def _unknown(findings: Findings, path: Path, kind: type[Section]) -> None:
    word = str(path[-1])
    owner = PointMeter if kind is Point and "meters" in path[:-1] else kind
    known = [info.alias or name for name, info in owner.model_fields.items()]
    if word == "password":
        zh, en = ",密码放进文件,用 password_file 指明", "; put the password into a file and name it in password_file"
    else:
        zh, en = suggestion(word, known)
    findings.fault(path, f"没有这个键{zh}", f"unknown key{en}", at_key=True)
