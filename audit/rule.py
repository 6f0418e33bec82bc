"""The text that a report rests on: its title, number, status and validity, a dated file like a schedule.

The colour method is ours; what it is measured against is a rule that people adopt, change and repeal. Until an adopted
text is named, the shipped draft for comment stands, and every report says so (settlement reference §5.2).
"""

from __future__ import annotations

import pathlib
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from audit.papers import PaperError
from audit.written import Days, parse_date
from config.compose import compose
from config.faults import Findings

DEFAULT = pathlib.Path(__file__).parent / "rules" / "zj-2023-draft.yaml"
_TEXTS = ("id", "title", "number", "clause", "status", "says")
_DATES = ("valid_from", "valid_to")


@dataclass(frozen=True, slots=True)
class Rule:
    """`status`: draft or adopted; validity in local dates, half-open, None for no bound."""

    id: str
    title: str
    number: str
    clause: str
    status: str
    says: str
    valid_from: date | None
    valid_to: date | None

    @property
    def is_draft(self) -> bool:
        return self.status == "draft"

    def covers(self, days: Days | None) -> bool:
        """Whether it is in force all through the days; a draft never is in force, and bounds nothing."""
        if self.is_draft or days is None:
            return True
        starts = self.valid_from is None or self.valid_from <= days[0]
        return starts and (self.valid_to is None or days[1] <= self.valid_to)

    def document(self) -> dict[str, Any]:
        """For the report: plain JSON."""
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(self).items()}


def load_rule(path: pathlib.Path = DEFAULT) -> Rule:
    """Raises PaperError with every fault, OSError."""
    findings = Findings(path.name)
    try:
        data = compose(path.read_text(encoding="utf-8-sig"), findings)
    except UnicodeDecodeError as error:
        raise PaperError("not UTF-8") from error
    faults = [str(fault) for fault in findings.faults]
    body = data.get("rule") if isinstance(data, dict) else None
    if not isinstance(body, dict):
        raise PaperError("\n".join(faults or ["rule: missing"]))
    faults += [f"rule.{key}: unknown" for key in body if key not in (*_TEXTS, *_DATES)]
    texts = {name: "" if body.get(name) is None else body[name] for name in _TEXTS}
    faults += [f"rule.{name}: must be text" for name, text in texts.items() if not isinstance(text, str)]
    faults += [f"rule.{name}: missing" for name in ("id", "title", "says") if texts[name] == ""]
    if texts["status"] not in ("draft", "adopted"):
        faults.append("rule.status: must be draft or adopted")
    dates: dict[str, date | None] = dict.fromkeys(_DATES)
    for name in _DATES:
        try:
            dates[name] = parse_date(str(body[name])) if body.get(name) else None
        except ValueError as error:
            faults.append(f"rule.{name}: {error}")
    if faults:
        raise PaperError("\n".join(faults))
    id_, title, number, clause, status, says = (texts[name] for name in _TEXTS)
    return Rule(id_, title, number, clause, status, says, dates["valid_from"], dates["valid_to"])
