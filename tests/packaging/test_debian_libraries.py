"""32-bit ARM signs with Debian 12's own python3-nacl 1.5."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path("/usr/bin/python3.11")
SIGN = """
import nacl
from nacl.signing import SigningKey
from contract import note
key = SigningKey(bytes(range(32)))
name = "hubiao/p/g/" + "0" * 32
text = note.sign_checkpoint(key, note.Checkpoint(name, 1, bytes(32)))
note.verify_checkpoint(text, note.verifier_key(name, note.public_raw(key)))
try:
    note.verify_checkpoint(text, note.verifier_key(name, bytes(32)))
except note.NoteError:
    print(nacl.__version__)
"""


def debian_has_it() -> bool:
    asked = [str(PYTHON), "-I", "-c", "import nacl"]
    return PYTHON.exists() and subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not debian_has_it(), reason="Debian's python3-nacl is not installed")
def test_checkpoints_are_signed_and_verified_by_debians_library() -> None:
    env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([str(PYTHON), "-c", SIGN], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1.")
