"""Which tenant of the evidence a row of the charges means: by id, saved name, room or meter; and what an auditor noted.

    {"names": {"安砧五金加工": "t-anvil", "某某公司": null}, "columns": {"电费（元）": "yuan"},
     "fees": {"物业费": false}, "common": "shared", "tax": {"bill": true, "charges": true},
     "tenants": {"t-anvil": {"declared_kw": "80", "own_circuit": true}}, "limits": {"tolerance_yuan": "1.00"},
     "park": {"kva": "400", "voltage": "1-10（20）千伏"}}

Tenant ids are pseudonyms in the evidence, so names must be matched by people, once; the file keeps it. Names that match
nobody are written into it with null. Guesses nothing: two spellings are the same only in width, case and spaces.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.amounts import parse_decimal
from audit.charges import ChargeRow
from audit.papers import written_name
from audit.spreadsheet import PaperError
from audit.written import parse_date

_KEYS = ("names", "columns", "fees", "common", "tax", "tenants", "limits", "park")


@dataclass(frozen=True, slots=True)
class Notes:
    """What an auditor's saved file says; everything may be absent."""

    names: Mapping[str, str | None] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    fees: Mapping[str, bool] = field(default_factory=dict)
    common: str | None = None
    tax: Mapping[str, bool] = field(default_factory=dict)
    tenants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    park: Mapping[str, Any] = field(default_factory=dict)


def load_notes(path: pathlib.Path | None) -> Notes:
    """The file, or empty notes where there is none yet. Raises PaperError for another file, OSError."""
    if path is None or not path.exists():
        return Notes()
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise PaperError(f"not JSON in UTF-8: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(data.get(key, {}), dict) for key in _KEYS if key != "common"):
        raise PaperError(f"must be an object of {', '.join(_KEYS)}")
    unknown = [key for key in data if key not in _KEYS]
    if unknown:
        raise PaperError(f"unknown: {', '.join(unknown)}")
    if data.get("common") not in (None, "shared", "recovered_elsewhere"):
        raise PaperError("common: must be shared or recovered_elsewhere")
    said = data.get("tenants", {})
    if not all(isinstance(tenant, dict) for tenant in said.values()):
        raise PaperError("tenants: must be objects")
    numbers = {f"tenants.{name}.declared_kw": tenant.get("declared_kw") for name, tenant in said.items()}
    for name, tenant in said.items():
        try:
            parse_date(str(tenant.get("converted_on", "2000-01-01")))
        except ValueError as error:
            raise PaperError(f"tenants.{name}.converted_on: {error}") from error
    for name, value in {**numbers, "park.kva": data.get("park", {}).get("kva")}.items():
        if value is not None and not _is_positive(value):
            raise PaperError(f"{name}: {value!r} is no number above 0")
    return Notes(**data)


def _is_positive(value: Any) -> bool:
    try:
        return parse_decimal(str(value)) > 0
    except ValueError:
        return False


def save_unmatched(path: pathlib.Path, unmatched: Sequence[str]) -> bool:
    """Adds names with null, keeping all the rest; whether anything was written. Raises OSError."""
    data = json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
    names = data.setdefault("names", {})
    new = [name for name in unmatched if name not in names]
    if not new:
        return False
    names |= dict.fromkeys(new)
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return True


@dataclass
class Matcher:
    """tenants: ids of the evidence. places: room or meter address or serial → tenant who holds it."""

    tenants: Sequence[str]
    places: Mapping[str, str]
    notes: Notes

    def __post_init__(self) -> None:
        self._known = {written_name(tenant): tenant for tenant in self.tenants}
        self._saved = {written_name(name): tenant for name, tenant in self.notes.names.items() if tenant}
        self._places = {written_name(place): tenant for place, tenant in self.places.items()}

    def match(self, row: ChargeRow) -> str | None:
        """The tenant of a row; None: nobody. A saved name counts before anything else."""
        who = written_name(row.who)
        if who in self._saved:
            return self._saved[who]
        for known, text in ((self._known, who), (self._places, written_name(row.room)), (self._places, row.meter)):
            if text and text in known:
                return known[text]
        return self._places.get(who)

    def find(self, name: str) -> str | None:
        """The tenant that a name alone means: saved, an id, a room or a meter."""
        who = written_name(name)
        return self._saved.get(who) or self._known.get(who) or self._places.get(who)
