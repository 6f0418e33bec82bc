"""32-bit ARM signs with Debian 12's own python3-cryptography 38: what is newer than that may not be used."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path("/usr/bin/python3.11")
SHIPPED = ("contract", "drivers", "config", "agent", "simulators", "audit")
NEWER_THAN_38 = re.compile(r"\b(?:public|private)_bytes_raw\b")  # since 40
SIGN = """
import cryptography, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from contract import note
key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
name = "hubiao/p/g/" + "0" * 32
text = note.sign_checkpoint(key, note.Checkpoint(name, 1, bytes(32)))
note.verify_checkpoint(text, note.verifier_key(name, note.public_raw(key)))
print(cryptography.__version__)
"""


def debian_has_it() -> bool:
    asked = [str(PYTHON), "-I", "-c", "import cryptography"]
    return PYTHON.exists() and subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_nothing_is_called_that_cryptography_38_has_not() -> None:
    used = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for package in SHIPPED
        for path in (ROOT / package).rglob("*.py")
        if (found := NEWER_THAN_38.search(path.read_text(encoding="utf-8")))
    ]
    assert used == []


@pytest.mark.skipif(not debian_has_it(), reason="Debian's python3-cryptography is not installed")
def test_checkpoints_are_signed_and_verified_by_debians_library() -> None:
    env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([str(PYTHON), "-c", SIGN], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split(".")[0]) >= 38
