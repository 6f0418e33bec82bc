"""`python tests/web/first_loads.py [--runs N]`: how long a thousand meters take until they are painted.

A Chromium process of its own for each run, so that the first load of each is the first after the browser's start; two
more follow in the same process. Milliseconds from the navigation to the frame after everything is laid out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from statistics import median

from made_snapshot import StillLooker, thousand
from test_browser import CACHE, CHROMIUM, NODE

from agent.ledger.shelf import Row, Shelves
from agent.web.access import Access
from agent.web.frame import Asked
from agent.web.park import Sparks, park_page
from agent.web.serve import PageServer
from agent.web.snapshot import Snapshot
from contract.energy import SlotValue

LOADS = 3
FLAGS = ["headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-sync"]
SCRIPT = """
import { createRequire } from "node:module";
const given = JSON.parse(process.argv[1]);
const { chromium } = createRequire(given.playwright + "/x.js")("playwright-core");
const painted = [];
for (let run = 0; run < given.runs; run++) {
  const browser = await chromium.launch({ executablePath: given.chromium, args: given.flags });
  const page = await (await browser.newContext({ locale: "zh-CN", ...given.screen })).newPage();
  const loads = [];
  for (let load = 0; load < given.loads; load++) {
    await page.goto("about:blank");
    await page.goto(given.url, { waitUntil: "load" });
    loads.push(await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(() =>
      done(document.querySelectorAll("#meters tbody tr").length === 1000 ? Math.round(performance.now()) : NaN))))));
  }
  painted.push(loads);
  await browser.close();
}
process.stdout.write(JSON.stringify(painted));
"""
SCREENS = {
    "desktop": {"viewport": {"width": 1280, "height": 860}},
    "phone": {"viewport": {"width": 390, "height": 844}, "deviceScaleFactor": 2, "isMobile": True, "hasTouch": True},
}


def loads(url: str, screen: str, runs: int) -> list[list[int]]:
    """The loads of each run, in order; ms."""
    given = {"playwright": str(CACHE), "chromium": CHROMIUM, "flags": [f"--{flag}" for flag in FLAGS]}
    given |= {"url": url, "screen": SCREENS[screen], "runs": runs, "loads": LOADS}
    words = [str(NODE), "--input-type=module", "--eval", SCRIPT, json.dumps(given)]
    told: list[list[int]] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return told


def as_kept(snapshot: Snapshot) -> Snapshot:
    """With every meter's values packed by slot, as the agent's books keep them."""
    shelves: Shelves[str, SlotValue] = Shelves()
    for meter in snapshot.meters.values():
        for slot_s, value in meter.values.items():
            shelves.put(meter.id, slot_s, value)
    shelves.pack(snapshot.now_s + 1)
    meters = {id_: replace(meter, values=Row(shelves, id_)) for id_, meter in snapshot.meters.items()}
    return replace(snapshot, meters=meters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    snapshot, sparks = as_kept(thousand()), Sparks()
    for when in ("at first", "again"):
        began = time.thread_time()
        body = park_page(snapshot, Asked("zh", "/"), sparks)
        made_ms = (time.thread_time() - began) * 1000
        sys.stdout.write(f"made {when} in {made_ms:.0f} ms, {len(body.encode()) / 1e6:.2f} MB\n")
    server = PageServer(StillLooker(snapshot), Access("127.0.0.1", 0))  # type: ignore[arg-type]  # gives the same looks
    assert server.start(5.0)
    for screen in SCREENS:
        seen = loads(f"{server.address}/", screen, runs)
        first, later = [run[0] for run in seen], [ms for run in seen for ms in run[1:]]
        for name, those in (("first", first), ("later", later)):
            sys.stdout.write(f"{screen} {name}: median {median(those):.0f} ms, {min(those)} to {max(those)}\n")
            sys.stdout.flush()
    server.stop()


if __name__ == "__main__":
    main()
