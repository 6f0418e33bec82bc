"""The fuzzing targets on what fuzzing found, on the golden frames and on a seeded sample; atheris itself is not needed.

A finding is added to FINDINGS as hex with its target: it then stays a test.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from bench.fuzz_codecs import TARGETS

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "dlt645-vectors.json").read_text())
FRAMES = [bytes.fromhex(vector["hex"]) for vector in GOLDEN["vectors"]]
FINDINGS: list[tuple[str, str]] = []  # none so far: see docs/campaigns/fuzzing.md for how long was fuzzed
SAMPLES = 1500


@pytest.mark.parametrize(("target", "data"), FINDINGS)
def test_what_fuzzing_found_stays_survived(target: str, data: str):
    TARGETS[target](bytes.fromhex(data))


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_golden_frames_and_noise_are_survived(target: str):
    random = Random(f"fuzz {target}")
    for _ in range(SAMPLES):
        data = bytearray(random.choice(FRAMES) if random.random() < 0.7 else random.randbytes(random.randrange(80)))
        for _ in range(random.randrange(4)):
            if data:
                data[random.randrange(len(data))] = random.getrandbits(8)
        if random.random() < 0.2:
            data += random.choice(FRAMES)
        TARGETS[target](bytes(data))


@pytest.mark.parametrize("frame", FRAMES, ids=[vector["id"] for vector in GOLDEN["vectors"]])
def test_every_golden_frame_keeps_what_the_targets_demand(frame: bytes):
    for check in TARGETS.values():
        check(frame)
