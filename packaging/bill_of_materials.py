"""What is inside: a CycloneDX list of components and the licences of the libraries, from the wheels themselves."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

UPLOT = "agent/web/static/uPlot.iife.min.js"  # the one library that our own wheel carries as a file


def licences(own: Path, wheels: list[Path]) -> str:
    """A page that names each library, its licence and where it comes from, with the licence texts it carries."""
    uplot, _, text = _uplot(own)
    parts = ["# Libraries in this package and their licences", "", f"- uPlot {uplot}: MIT"]
    texts = [f"\n## uPlot {uplot}: LICENSE\n\n{text.strip()}\n"]
    for wheel in wheels:
        about = _metadata(wheel)
        parts.append(f"- {about['Name']} {about['Version']}: {_licence(about)}")
        texts += [
            f"\n## {about['Name']} {about['Version']}: {name}\n\n{text.strip()}\n" for name, text in _texts(wheel)
        ]
    return "\n".join([*parts, *texts]) + "\n"


def bill(version: str, own: Path, wheels: list[Path], moment: str) -> str:
    """CycloneDX 1.5 JSON of hubiao `version`, its `own` wheel, and those it is installed with; `moment` is RFC 3339."""
    uplot, script, _ = _uplot(own)
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": moment,
            "component": {
                "type": "application",
                "name": "hubiao",
                "version": version,
                "purl": f"pkg:pypi/hubiao@{version}",
            },
        },
        "components": [
            {
                "type": "library",
                "name": "uplot",
                "version": uplot,
                "purl": f"pkg:npm/uplot@{uplot}",
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(script).hexdigest()}],
                "licenses": [{"license": {"name": "MIT"}}],
                "properties": [{"name": "file", "value": UPLOT}],
            },
            *(_component(wheel) for wheel in wheels),
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _uplot(own: Path) -> tuple[str, bytes, str]:
    """Version, script and licence text."""
    with zipfile.ZipFile(own) as archive:
        script = archive.read(UPLOT)
        text = archive.read(str(Path(UPLOT).with_name("uPlot.LICENSE.txt"))).decode()
    found = re.search(rb"uPlot \(v([\d.]+)\)", script)
    if found is None:
        raise ValueError(f"{UPLOT} does not say its version")
    return found[1].decode(), script, text


def _component(wheel: Path) -> dict[str, Any]:
    about = _metadata(wheel)
    name, version = str(about["Name"]), str(about["Version"])
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name.lower()}@{version}",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
        "licenses": [{"license": {"name": _licence(about)}}],
        "properties": [{"name": "wheel", "value": wheel.name}],
    }


def _licence(about: Message) -> str:
    stated = about["License-Expression"] or ""
    named = [line.rsplit(" :: ", 1)[-1] for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    short = (about["License"] or "").strip()
    return stated or ", ".join(named) or (short.splitlines()[0] if short else "see its licence text")


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def _texts(wheel: Path) -> list[tuple[str, str]]:
    with zipfile.ZipFile(wheel) as archive:
        names = [
            one
            for one in archive.namelist()
            if ".dist-info/" in one and Path(one).name.upper().startswith(("LICEN", "COPYING", "NOTICE", "AUTHORS"))
        ]
        return [(Path(one).name, archive.read(one).decode(errors="replace")) for one in sorted(names)]
