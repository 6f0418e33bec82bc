"""Resident memory of the agent as it runs for months: 256 meters on 8 lines, evidence on, two days of books behind it.

    a store of two days ─▶ hubiao run ─▶ RSS at the first request, and after each of so many slots of 15 minutes

Two days is what the agent remembers, so nothing grows after that (`bench.soak` shows it). Beside it, with `--peer
PYTHON`, thingsboard-gateway idle without a connector, from a virtual environment of its own. Paced lines, a broker on
loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.evidence.keys import load_or_create
from agent.evidence.log import Identity
from agent.evidence.opening import open_log
from agent.evidence.store import Store
from agent.ledger.books import Books
from bench.agent import INSTALLED, LINES, METERS, compiled, first_request, rss_mib
from bench.fed import CONFIG_KEYS, Hand
from bench.paced import Paced, Wire
from bench.parks import text
from bench.rack import Rack
from config.child import load_in_child
from contract.plan import Plan
from contract.records import Config, Exchanged, Reading, Source, instant, slot_instant
from contract.tariff import period_finder
from simulators.broker import embedded_broker

REMEMBERED_S = 2 * 86_400
PEER_SETTLES_S = 30
TICK_MS = 7_000
NAMES = ("import", "import_t1", "import_t2", "import_t3", "import_t4")
FRAME = Exchanged("01" * 8, "02" * 25, 1)


async def filled(config: dict[str, Any], data: Path, until_s: int) -> None:
    """A store in which every meter has been read at every slot of two days, and everything derived from it."""
    plan = Plan.from_config(config, period_finder(config))
    first_s = plan.slot_floor(until_s - REMEMBERED_S)
    clock = Hand(first_s * 1000, state=("held", None))
    store = Store(data, clock.hold)
    settings = config["settings"]
    log = await open_log(
        store, Identity(settings["park"], settings["gateway"], config["version"]), clock, load_or_create(data)
    )
    log.add(Config(**{name: config[name] for name in CONFIG_KEYS}))
    books = Books(plan, lambda *_: ())
    rack = Rack("modbus", range(1, METERS + 1), 0.0, 9600, "8N1", tick_ms=TICK_MS)
    numbers = {meter["id"]: int(meter["unit"]) for meter in config["meters"]}
    for slot_s in range(first_s, until_s, plan.interval_s):
        clock.to(slot_s * 1000 + 10_000)
        for meter, number in numbers.items():
            counts = rack.counts(number, slot_s * 1000)
            known = {name: Decimal(count).scaleb(-2) for name, count in zip(NAMES, counts, strict=True)}
            source = Source(instant(slot_s * 1000 + 3_000), clock.boot, known, None, [FRAME], [FRAME])
            body = Reading(meter, None, meter, slot_instant(slot_s), "live", "measured", None, known, [source], [], 1)
            books.reading(log.add(body), body)
        books.derive(clock.wall // 1000, log.add)
        await log.commit()
    log.delivered = log.size
    await log.close()
    await store.close()


async def ours(slots: int) -> dict[str, Any]:
    """RSS of `hubiao run` behind two days of records."""
    paced = await Paced.start([Wire("modbus", meters=METERS, fifo=8, tick_ms=TICK_MS) for _ in range(LINES)])
    async with embedded_broker("mosquitto") as broker:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
            path = Path(directory) / "park.yaml"
            path.write_text(text(paced.ports, METERS, "modbus", mqtt=broker.url, data=directory))
            loaded = await load_in_child(path)
            assert loaded.config is not None, loaded.faults
            await filled(loaded.config, Path(directory), int(time.time()))
            hubiao = str(Path(sys.executable).with_name("hubiao"))
            await paced.reset()  # opening the other ends may have been heard
            began = time.monotonic()
            async with running(hubiao, "run", "--config", str(path)) as pid:
                found: dict[str, Any] = {"first_request_s": await first_request(paced, began)}
                found |= {"rss_first_request_mib": round(rss_mib(pid), 1), "rss_by_slot": []}
                for _ in range(slots):
                    await asyncio.sleep(900 - (time.time() - 60) % 900)  # a minute after a slot: all is committed
                    found["rss_by_slot"].append(round(rss_mib(pid), 1))
    await paced.close()
    return found


async def peer(python: Path) -> float:
    """RSS of thingsboard-gateway with no connector, its broker on loopback, its storage in memory."""
    async with embedded_broker("mosquitto") as broker:
        with tempfile.TemporaryDirectory() as directory:
            found = next(python.parent.parent.glob("lib/python*/site-packages/thingsboard_gateway/config"))
            shutil.copytree(found, directory, dirs_exist_ok=True)
            settings = {
                "thingsboard": {
                    "host": broker.host,
                    "port": broker.port,
                    "remoteShell": False,
                    "remoteConfiguration": False,
                    "security": {"type": "accessToken", "accessToken": "idle"},
                },
                "storage": {"type": "memory", "read_records_count": 100, "max_records_count": 10_000},
                "connectors": [],
            }
            path = Path(directory) / "tb_gateway.json"
            path.write_text(json.dumps(settings))
            code = f"from thingsboard_gateway.gateway.tb_gateway_service import TBGatewayService as G; G({str(path)!r})"
            async with running(str(python), "-c", code) as pid:
                await asyncio.sleep(PEER_SETTLES_S)
                return round(rss_mib(pid), 1)


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[int]:
    """A program for the length of the block, as it is where it is installed; its process id."""
    child = await asyncio.create_subprocess_exec(*command, env=INSTALLED, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield child.pid
    finally:
        child.terminate()
        await child.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--peer", type=Path, help="the Python of a virtual environment with thingsboard-gateway")
    options = parser.parse_args()
    compiled()
    found = asyncio.run(ours(options.slots))
    if options.peer:
        found["thingsboard_mib"] = asyncio.run(peer(options.peer))
        found["ratio"] = round(found["rss_by_slot"][-1] / found["thingsboard_mib"], 3)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
