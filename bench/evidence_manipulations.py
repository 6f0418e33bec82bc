"""`python -m bench.evidence_manipulations [--markdown]`: named manipulations of store, stream, keys and receipts.

    a day of a small park, real frames ─▶ one thing done to it ─▶ the verifier whose matter it is ─▶ code, index

Each says what must be found and at which index; harmless ones must not be found, since they change nothing that is
evidence. Who holds the gateway's key may write anew what no auditor has witnessed: of that, those are here that
contradict the frames, the meters' registers or the rules.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import manipulated_log, manipulated_notes, manipulated_store
from bench.manipulated import Found, Scene, copy_of, honest

SCENES: tuple[Scene, ...] = (*manipulated_store.SCENES, *manipulated_log.SCENES, *manipulated_notes.SCENES)


def campaign(place: Path) -> list[tuple[Scene, Found, int | None, bool]]:
    """Every scene: what was found, the index expected, whether both are as they must be."""
    base = honest(place / "base")
    results = []
    for n, scene in enumerate(SCENES):
        case = copy_of(base, place / str(n))
        expected = scene.act(case)
        found = scene.judge(case)
        right = scene.code in found.codes and found.first_bad == expected if scene.code else not found.codes
        results.append((scene, found, expected, right))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true", help="as the table of docs/evidence/manipulations.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hubiao-manipulations-") as directory:
        results = campaign(Path(directory))
    for n, (scene, found, expected, right) in enumerate(results, 1):
        codes, at = ", ".join(sorted(found.codes)) or "–", "–" if found.first_bad is None else found.first_bad
        if options.markdown:
            print(f"| {n} | {scene.area} | {scene.name} | {codes} | {at} |")
        else:
            must = f"{scene.code or 'nothing'} at {expected}"
            print(f"{'ok ' if right else 'BAD'} {scene.area}: {scene.name}: {codes} at {at}, must be {must}")
    wrong = sum(not right for *_, right in results)
    print(f"{len(results)} manipulations, {wrong} not as they must be", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
