"""The rule of tariff periods that a configuration record means, by the schedules' own texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.compose import compose
from config.faults import Findings
from contract.plan import PeriodAt
from contract.tariff import period_finder


def periods_from_texts(config: Mapping[str, Any]) -> PeriodAt:
    """Reads the YAML texts again, whatever stands beside them as parsed. Raises ValueError."""
    read: dict[str, list[dict[str, Any]]] = {}
    for section in ("schedules", "holidays"):
        read[section] = []
        for entry in config[section]:
            findings = Findings(str(entry["id"]))
            data = compose(entry["text"], findings)
            if findings.faults:
                raise ValueError("\n".join(map(str, findings.faults)))
            read[section].append({**entry, "data": data})
    return period_finder({**config, **read})
