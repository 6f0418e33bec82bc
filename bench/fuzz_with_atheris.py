"""Coverage-guided fuzzing of parser and codecs with atheris, which is no dependency of ours.

python3.11 -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris -e .
/tmp/fuzz/bin/python -m bench.fuzz_with_atheris parser|dlt645|modbus [-max_total_time=3600 …]
"""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["drivers"]):  # before any of ours is imported
        targets = importlib.import_module("bench.fuzz_codecs")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], targets.TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
