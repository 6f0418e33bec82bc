"""What the tenants get: their slips, their proof files, and the page that checks these in a browser (writes files)."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from audit.park_evidence import ParkEvidence
from audit.slip import render_slips
from audit.store import Store
from audit.tenant_proof import Prover, file_text, fingerprint

VERIFY_PAGE = pathlib.Path(__file__).parent / "static" / "verify.html"


def tenant_files(
    made: Mapping[str, Any],
    language: str,
    store: Store | None = None,
    evidence: ParkEvidence | None = None,
    address: str | None = None,
) -> dict[str, str]:
    """File name → text: `slips.html`, and with evidence `verify.html` and a `{tenant}.json` each."""
    files: dict[str, str] = {}
    keys: dict[str, list[str]] = {}
    if store is not None and evidence is not None:
        rows = [row for row in made["tenants"] if row["energy_kwh"] is not None]
        prover = Prover(store, evidence, rows)
        for row in rows:
            proof = prover.proof(row)
            files[f"{row['tenant']}.json"] = file_text(proof)
            keys[row["tenant"]] = [fingerprint(log["key"]) for log in proof["logs"] if log["key"]]
        files["verify.html"] = VERIFY_PAGE.read_text(encoding="utf-8")
    return {"slips.html": render_slips(made, language, keys, address), **files}


def write_tenant_files(files: Mapping[str, str], directory: pathlib.Path) -> None:
    """Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
