"""Whatever is done to a configuration, loading it ends in a configuration or in faults with their places."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from config.load import load

SAMPLES = Path(__file__).parents[2] / "config" / "samples"
PIECES = [
    *("{", "}", "[", "]", ":", ",", "-", "&a", "*a", "<<: *a", "!x", "|", ">", "?", "#", "'", '"', "%", "@", "`"),
    *("\n", "\t", "\x00", "\ufeff", "\u2028", "\\", "null", "~", "1e999", "-1", "0", "9" * 40, ".inf", "０", "园"),
    *("2026-02-30", "9999-12-31 24:00", "0000-00-00", "2.02E+11", "true", "id", "meters", "from: 1", "share: 2"),
    *("mqtts://[", "socket://h:99999", "200/0", '"\\U00110000"', "---", "...", "%YAML 9.9", "  ", "999999999999"),
]


def mutated(text: str, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 6)):
        at, to = sorted(chance.sample(range(len(text)), 2))
        to = min(to, at + chance.choice((0, 1, 3, 12, 60)))
        lines = text.splitlines(keepends=True)
        way = chance.randrange(4)
        if way == 0:
            text = text[:at] + chance.choice(PIECES) + text[to:]
        elif way == 1:
            text = text[:at] + text[to:] + text[at:to]
        elif way == 2:
            text = "".join(
                chance.sample(lines, len(lines)) if chance.random() < 0.2 else lines[: chance.randrange(len(lines))]
            )
            text += chance.choice(lines)
        else:
            text = text[:at] + text[at:to] * chance.randint(2, 5) + text[to:]
        text = text or "x: y"
        text += "  "
    raw = text.encode("utf-8")
    if chance.random() < 0.1:
        at = chance.randrange(len(raw))
        raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at:]
    return raw


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_configuration_gives_faults_or_a_configuration(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    texts = [(SAMPLES / f"{name}.yaml").read_text(encoding="utf-8") for name in ("small", "everything")]
    file = tmp_path / "site.yaml"
    refused = 0
    for _ in range(40):
        file.write_bytes(mutated(chance.choice(texts), chance))
        found = load(file)
        assert (found.config is None) == bool(found.faults)
        assert all(fault.line >= 1 and fault.column >= 1 and fault.zh and fault.en for fault in found.faults)
        refused += found.config is None
    assert refused, "the mutations damage nothing"
