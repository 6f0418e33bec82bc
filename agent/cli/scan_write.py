"""Found meters into a configuration: appended to YAML with its comments kept, or to a table in its own encoding.

What cannot be known on the wire stays empty: room, tenant, multiplier. The result is loaded before it replaces the
file; a file that would be refused is not touched.
"""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

from agent.cli.words import language
from agent.field.scanning import Found

Words = tuple[str, str]
EMPTY = ("room", "tenant", "multiplier")
COLUMNS = (
    "id",
    "line",
    "protocol",
    "address",
    "unit",
    "model",
    "baud",
    "framing",
    "room",
    "tenant",
    "multiplier",
    "serial",
)
TITLES = ("编号", "线路", "协议", "地址", "站号", "型号", "波特率", "校验", "房号", "租户", "倍率", "出厂编号")
SKELETON = """\
# hubiao scan 写成;核对后填 park、房号、租户、倍率。 / Written by hubiao scan; fill in park, room, tenant, multiplier.
park: {id: park-1, schedules: [zj-2024, zj-2026]}
gateway: {id: gw-1}
mqtt: {url: "mqtt://127.0.0.1:1883"}
"""


class NotWritten(Exception):
    """The file stays as it was; `words` (zh, en) say why."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.words = (zh, en)


def append(path: Path, port: str, line_id: str | None, found: list[Found]) -> tuple[int, list[tuple[Found, Words]]]:
    """Appends what is not there yet; (how many, what was left out and why). Raises NotWritten, OSError."""
    port = _lasting(port)
    if path.suffix.lower() == ".csv":
        return _append_csv(path, port, line_id, found)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _append_yaml(path, port, line_id, found)
    raise NotWritten(f"{path}:只写 .yaml 或 .csv", f"{path}: only .yaml or .csv can be written")


def _append_yaml(
    path: Path, port: str, line_id: str | None, found: list[Found]
) -> tuple[int, list[tuple[Found, Words]]]:
    from ruamel.yaml import YAML  # 14 MiB: only when writing
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.resolver import VersionedResolver

    class Texts(VersionedResolver):
        """Every plain scalar is text, as in config.compose: 8E1 is no number."""

        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            return self.DEFAULT_SCALAR_TAG if kind is ScalarNode else super().resolve(kind, value, implicit)

    text = path.read_text(encoding="utf-8") if path.exists() else SKELETON
    yaml = YAML()
    yaml.Resolver = Texts
    yaml.preserve_quotes, yaml.width = True, 4096
    dash = re.search(r"^[a-z_]+:[^\n]*\n(?: *#[^\n]*\n)*( *)- ", text, re.MULTILINE)
    offset = len(dash[1]) if dash else 2
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    try:
        data = yaml.load(text)
    except YAMLError as error:
        raise NotWritten(f"{path}:YAML 语法错误 {error}", f"{path}: YAML syntax: {error}") from error
    if not isinstance(data, CommentedMap):
        raise NotWritten(f"{path} 不是配置文件", f"{path} is no configuration")
    lines = data.setdefault("lines", CommentedSeq())
    meters = data.setdefault("meters", CommentedSeq())
    if lines is None or meters is None:
        raise NotWritten(f"{path}:lines、meters 不能为空", f"{path}: lines and meters must not be empty keys")
    line = next((one for one in lines if str(one.get("port")) == port), None)
    if line is None:
        line = _flow(CommentedMap, _new_line(port, line_id, found, {str(one.get("id")) for one in lines}))
        lines.append(line)
    names = {str(one.get("id")) for one in meters}
    known = [(str(one.get("line")), _number(one.get("address")), str(one.get("unit"))) for one in meters]
    rows, left_out = _rows(found, line, names, known)
    for row, one in rows:
        meters.append(_flow(CommentedMap, _quoted(row)))
        if one.others or (one.model and not one.certain):
            hint = f"型号待核对 / model to be checked: {' | '.join((str(one.model), *one.others))}"
            meters.yaml_add_eol_comment(hint, len(meters) - 1)
    out = io.StringIO()
    yaml.dump(data, out)
    _replace(path, out.getvalue().encode(), lambda draft: _faults_of(draft))
    return len(rows), left_out


def _quoted(row: dict[str, Any]) -> dict[str, Any]:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    quoted: dict[str, Any] = {key: "null" if value is None else str(value) for key, value in row.items()}
    for key in ("address", "serial"):
        if row.get(key):
            quoted[key] = DoubleQuotedScalarString(row[key])
    return quoted


def _flow(make: Any, values: dict[str, Any]) -> Any:
    entry = make({key: value if isinstance(value, str) else str(value) for key, value in values.items()})
    entry.fa.set_flow_style()
    return entry


def _lasting(port: str) -> str:
    """A path as a configuration takes it: from the root."""
    return port if "://" in port or os.sep not in port else os.path.abspath(port)


def _new_line(port: str, line_id: str | None, found: list[Found], taken: set[str]) -> dict[str, Any]:
    usual = Counter((one.settings.baud, one.settings.framing) for one in found)
    baud, framing = usual.most_common(1)[0][0] if usual else (9600, "8N1")
    name = (
        line_id or re.sub(r"[^a-z0-9]+", "-", Path(port.partition("://")[2] or port).name.lower()).strip("-") or "line"
    )
    while name in taken:
        name += "-2"
    return {"id": name, "port": port, "baud": baud, "framing": framing}


def _rows(
    found: list[Found], line: Any, names: set[str], known: list[tuple[str, str, str]]
) -> tuple[list[tuple[dict[str, Any], Found]], list[tuple[Found, Words]]]:
    """Rows to be added with their meters, and what is left out."""
    rows: list[tuple[dict[str, Any], Found]] = []
    left_out: list[tuple[Found, Words]] = []
    line_name = str(line["id"])
    for one in found:
        number = (one.address or "").lstrip("0")
        if any(
            name == line_name and (address == number if number else unit == str(one.unit))
            for name, address, unit in known
        ):
            left_out.append((one, ("配置中已有", "already there")))
        elif one.count > 1:
            left_out.append((one, ("两块表同址", "two meters with this address")))
        elif one.model is None:
            left_out.append(
                (one, ("型号不明:用 read --as 查寄存器", "model unknown: see its registers with read --as"))
            )
        else:
            row = _row(one, line, names)
            names.add(row["id"])
            known.append((line_name, number, str(one.unit)))
            rows.append((row, one))
    return rows, left_out


def _row(one: Found, line: Any, names: set[str]) -> dict[str, Any]:
    short = f"m-{line['id']}-{one.unit}" if one.unit is not None else f"m-{(one.address or '')[-6:]}"
    name = short if short not in names else f"m-{line['id']}-{one.address or one.unit}"
    row: dict[str, Any] = {"id": name, "line": str(line["id"]), "protocol": one.protocol}
    row |= {"address": one.address} if one.address else {"unit": one.unit, "model": one.model}
    if str(one.settings.baud) != str(line.get("baud")):
        row["baud"] = one.settings.baud
    if one.settings.framing != str(line.get("framing")):
        row["framing"] = one.settings.framing
    row |= {"room": one.room, "tenant": None, "multiplier": one.multiplier}
    if one.serial and one.serial != one.address:
        row["serial"] = one.serial
    return row


def _number(address: Any) -> str:
    return str(address or "").strip("\"' ").lstrip("0")


def _append_csv(
    path: Path, port: str, line_id: str | None, found: list[Found]
) -> tuple[int, list[tuple[Found, Words]]]:
    from config.tables import HEADERS

    encoding, text = _decoded(path) if path.exists() else ("utf-8-sig", ",".join(TITLES) + "\r\n")
    separator = max("\t;,", key=(text.splitlines() or [""])[0].count)
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    known = {name: key for key, names in HEADERS.items() for name in (key, *names)}
    head = [known.get(unicodedata.normalize("NFKC", cell).strip().lower().replace(" ", ""), "") for cell in table[0]]
    for key, title in zip(COLUMNS, TITLES, strict=True):
        if key not in head:
            head.append(key)
            table[0].append(title)
    cells = [{key: cell for key, cell in zip(head, row, strict=False) if key} for row in table[1:]]
    line = _new_line(port, line_id, found, set())
    there = [(row.get("line", ""), _number(row.get("address")), row.get("unit", "")) for row in cells]
    # a table does not say the line's speed, so every row says its own
    rows, left_out = _rows(found, {"id": line["id"]}, {row.get("id", "") for row in cells}, there)
    for row, _ in rows:
        table.append([_cell(key, row.get(key)) for key in head])
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator).writerows(table)
    data = out.getvalue().encode(encoding)
    _replace(path, data, lambda draft: _faults_of_table(draft, line))
    return len(rows), left_out


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    return f'="{value}"' if key in ("address", "serial") else str(value)  # or a spreadsheet turns it into a number


def _decoded(path: Path) -> tuple[str, str]:
    raw = path.read_bytes()
    encodings = ("utf-16",) if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8", "gb18030")
    if raw.startswith(b"\xef\xbb\xbf"):
        encodings = ("utf-8-sig",)
    for encoding in encodings:
        try:
            return encoding, raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise NotWritten(f"{path}:不是 UTF-8 或 GB18030", f"{path}: neither UTF-8 nor GB18030")


def _replace(path: Path, data: bytes, faults_of: Any) -> None:
    """Puts `data` in the file's place if it can be loaded, whole or not at all."""
    handle, draft = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.stem}-", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        faults = faults_of(Path(draft))
        if faults:
            raise NotWritten(f"{path} 未改动:\n{faults}", f"{path} is unchanged:\n{faults}")
        if path.exists():
            os.chmod(draft, path.stat().st_mode & 0o777)
        else:
            os.chmod(draft, 0o644)  # mkstemp's own would keep the agent out
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _faults_of(draft: Path) -> str:
    from config.load import load

    loaded = load(draft)
    return loaded.fault_texts(language()) if loaded.faults else ""


def _faults_of_table(draft: Path, line: dict[str, Any]) -> str:
    """Of the table alone: a configuration around it with every line that it names."""
    from config.faults import Findings
    from config.load import load_data
    from config.tables import HEADERS, cell_text, table_rows

    known = {name: key for key, names in HEADERS.items() for name in (key, *names)}
    rows = list(table_rows(draft))
    column = next((at for at, cell in rows[0][1] if known.get(str(cell).strip().lower()) == "line"), 0)
    names = {cell_text("line", cell) for _, cells in rows[1:] for at, cell in cells if at == column} | {line["id"]}
    lines = [
        {"id": name, "port": f"/dev/{number}", "baud": "9600", "framing": "8N1"}
        for number, name in enumerate(sorted(filter(None, names)))
    ]
    tenants = [{"id": name} for name in sorted(_column(rows, known, "tenant"))]
    data: dict[str, Any] = {
        "park": {"id": "check", "schedules": ["zj-2024", "zj-2026"]},
        "gateway": {"id": "check"},
        "mqtt": {"url": "mqtt://127.0.0.1:1883"},
        "lines": lines,
        "meters_file": draft.name,
        "tenants": tenants,
    }
    loaded = load_data(data, draft.parent, Findings(str(draft)))
    return loaded.fault_texts(language()) if loaded.faults else ""


def _column(rows: list[Any], known: dict[str, str], key: str) -> set[str]:
    from config.tables import cell_text

    column = next((at for at, cell in rows[0][1] if known.get(str(cell).strip().lower()) == key), 0)
    return {text for _, cells in rows[1:] for at, cell in cells if at == column and (text := cell_text(key, cell))}
