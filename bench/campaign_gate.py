"""`python -m bench.campaign_gate --configurations N --answers M --seed S`: nothing but reads ever leaves the machine.

    fuzzed configuration → build_meter → look, clock, serial, telemetry, items, memory … → Line → gate → spy
                                                                    fuzzed answers ────────┘

Half of the configurations are YAML text with its values exchanged for nasty ones, through `config.load` as a person's
would go; half are effective configurations with addresses, units, models and speeds changed behind the loader's back.
Answers are whatever comes: mutations of true ones, frames that write, error answers, follow-on parts without end,
records with impossible dates, noise. The spy decodes every byte sent as liberally as the worst receiver.
"""

from __future__ import annotations

import argparse
import copy
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from agent.meters import METER_PROTOCOLS, build_meter
from bench.spy import Spy
from config.load import load
from drivers.clock import VirtualClock
from drivers.dlt645.frame import Frame, Parser, encode
from drivers.dlt645.memory import Dlt645Memory
from drivers.dlt645.meter import Dlt645Meter
from drivers.errors import DriverError, PortGone
from drivers.line import Line
from drivers.meter import Meter
from drivers.modbus import adu
from drivers.modbus.meter import ModbusMeter
from drivers.ports import Chunk, Settings
from drivers.ports.memory import MemoryPort

START_MS = 1_790_000_000_000
SAMPLES = Path(__file__).parents[1] / "config" / "samples"
CHUNK = 50  # configurations a task
NASTY = (
    *("999999999999", "AAAAAAAAAAAA", "686868686868", "166816681668", "000000000000", "AA0000000001", "99999999999"),
    *(
        "0",
        "104",
        "248",
        "255",
        "-1",
        "1e3",
        "0x10",
        "dlt645-2007",
        "dlt645-1997",
        "modbus",
        "manual",
        "acrel-dtsd1352",
    ),
    *("9600", "1200", "8N1", "7E1", "8X9", "tcp://127.0.0.1:502", "socket://127.0.0.1:1", "null", "[]", "{a: 1}", "'"),
)
ITEMS = (
    *("00010000", "0001FF00", "9010", "901F", "04000C01", "1CFFFFFF", "08000000", "0400010C", "FFFFFFFF", "06040001"),
    *(
        "0504FF01",
        "05060101",
        "14000000",
        "9999",
        "6868",
        "0x0000",
        "0xFFFF",
        "0x0006:u32",
        "65535",
        "x",
        "",
        "0x10:zz",
    ),
)
WRITING = (0x08, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x03, 0x04, 0x0A, 0x0C, 0x0F, 0x10)


@cache
def _texts() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted(SAMPLES.glob("*.yaml")))


@cache
def _effective() -> dict[str, Any]:
    loaded = load(SAMPLES / "demo.yaml")
    assert loaded.config is not None, loaded.faults
    return loaded.config


class FuzzedPort(MemoryPort):
    """The spy listens to what is sent; what is heard is made up."""

    def __init__(self, spy: Spy, random: Random, tally: Counter[str]) -> None:
        super().__init__("fuzzed")
        self._spy, self._random, self._tally = spy, random, tally
        self._before = b""

    async def write(self, data: bytes) -> None:
        self._require_open()
        self._spy.hear(data)
        self._tally["answers"] += 1
        answer = self._answer(data)
        self._before = answer or self._before
        at = 0
        while at < len(answer):  # in pieces, one of them damaged now and then
            size = self._random.choice((1, 4, 16, 256))
            self.deliver(Chunk(answer[at : at + size], damaged=self._random.random() < 0.02))
            at += size

    def _answer(self, data: bytes) -> bytes:
        random = self._random
        kind = random.randrange(12)
        if kind == 0:
            return b""
        if kind == 1:
            return random.randbytes(random.randrange(1, 60))
        if kind == 2:
            return data  # echo
        if kind == 3:
            return self._before
        frames = Parser().feed(data)
        reply = self._dlt645(frames[0]) if frames else self._modbus(data)
        if kind == 4:
            return data + reply
        if kind == 5 and reply:
            changed = bytearray(reply)
            changed[random.randrange(len(changed))] = random.getrandbits(8)
            return bytes(changed)
        return reply

    def _dlt645(self, asked: Frame) -> bytes:
        random = self._random
        control = 0x80 | asked.control
        if random.random() < 0.3:
            control = random.choice([*WRITING, 0xC0 | asked.control, 0xA0 | asked.control, random.getrandbits(8)])
        head = asked.data[: 2 if asked.control < 0x10 else 4]
        if random.random() < 0.1:
            head = random.randbytes(4)
        value = random.choice([b"", random.randbytes(random.randrange(40)), self._digits(), b"\xff" * 4])
        if control == 0xC0 | asked.control and random.random() < 0.8:
            head, value = b"", random.choice([b"\x02", b"\x01", b"\x04"])
        address = asked.address
        if random.random() < 0.1:
            address = random.choice(["999999999999", "AAAAAAAAAAAA", f"{random.randrange(10**12):012d}"])
        tail = asked.data[4:5] if asked.control == 0x12 else b""
        wake = b"\xfe" * random.randrange(5)
        return wake + encode(Frame(address, control, (head + value + tail)[:255]))

    def _modbus(self, data: bytes) -> bytes:
        random = self._random
        asked = adu.RequestParser("rtu" if len(data) == 8 else "tcp").feed(data)
        if not asked:
            return random.randbytes(9)
        if random.random() < 0.2:
            return adu.refusal_of(asked[0], random.choice((1, 2, 3, 4, 5, 6, 11)))
        count = asked[0].quantity if random.random() < 0.9 else random.randrange(1, 125)
        return adu.reply_to(asked[0], [random.choice((0, 0xFFFF, random.getrandbits(16))) for _ in range(count)])

    def _digits(self) -> bytes:
        return bytes.fromhex(
            "".join(str(self._random.randrange(10)) for _ in range(2 * self._random.choice((2, 4, 20))))
        )


def _mutated_text(random: Random) -> str:
    """A sample with some of its values, lines or characters exchanged."""
    lines = random.choice(_texts()).splitlines()
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(lines))
        line, choice = lines[at], random.randrange(6)
        if choice == 0:
            lines[at] = random.choice(lines)
        elif choice == 1 and ": " in line:
            lines[at] = line.split(": ", 1)[0] + ": " + random.choice(NASTY)
        elif choice <= 3:
            words = line.replace("{", "{ ").split(" ")
            words[random.randrange(len(words))] = random.choice(NASTY) + random.choice(("", ",", "}"))
            lines[at] = " ".join(words)
        elif choice == 4 and line:
            place = random.randrange(len(line))
            lines[at] = line[:place] + random.choice("0123456789A:{}[]-") + line[place + 1 :]
        else:
            digits = [i for i, letter in enumerate(line) if letter.isdigit()]
            for i in digits[: random.randint(0, 4)]:
                line = line[:i] + random.choice("0123456789") + line[i + 1 :]
            lines[at] = line
    return "\n".join(lines)


def _mutated_effective(random: Random) -> dict[str, Any]:
    config = copy.deepcopy(_effective())
    choices: dict[str, list[Any]] = {
        "address": [*NASTY[:7], *(f"{random.getrandbits(48):012X}" for _ in range(7)), "16" * 6],
        "unit": [0, 1, 104, 247, 248, 255, *(random.randrange(300) for _ in range(4))],
        "protocol": list(METER_PROTOCOLS),
        "model": [model["id"] for model in config["models"]],
        "baud": [300, 1200, 9600, 115200],
        "framing": ["8N1", "8E1", "7O2"],
        "line": [line["id"] for line in config["lines"]],
    }
    for meter in config["meters"]:
        if random.random() < 0.6:
            key = random.choice(list(choices))
            meter[key] = random.choice(choices[key])
            if key == "protocol":
                meter["address"] = meter["address"] or f"{random.getrandbits(48):012X}"
                meter["unit"] = meter["unit"] or random.randrange(256)
    for line in config["lines"]:
        if random.random() < 0.3:
            line["port"] = random.choice(["tcp://127.0.0.1:502", "socket://127.0.0.1:4001"])
    return config


async def _try(work: Callable[[], Awaitable[object]], tally: Counter[str]) -> None:
    try:
        await work()
    except PortGone:
        raise
    except DriverError as error:
        tally[type(error).__name__] += 1
    except ValueError:
        tally["refused as malformed"] += 1
    else:
        tally["answered"] += 1


async def _ask_everything(meter: Meter, random: Random, tally: Counter[str]) -> None:
    works: list[Callable[[], Awaitable[object]]] = [
        meter.look,
        lambda: meter.look(second=True),
        meter.clock,
        meter.serial,
        meter.telemetry,
        lambda: meter.read_item(random.choice(ITEMS)),
        lambda: meter.read_item(f"{random.getrandbits(32):08X}"),
    ]
    if isinstance(meter, Dlt645Meter) and meter.edition == "2007":
        memory = Dlt645Memory(meter)
        back = random.randrange(1, 256)
        since = random.choice(["2026-07-14 10:00", "2000-01-01 00:00", "2099-12-31 23:59"])
        works += [lambda: memory.load_records(since), lambda: memory.hour(back), lambda: memory.day(back)]
        works += [lambda: memory.settlement(random.randrange(1, 13), "2026-07-14 10:00:00")]
    if isinstance(meter, ModbusMeter):
        works += [meter.ratios, meter.identity]
    for work in random.sample(works, len(works)):
        await _try(work, tally)


async def _play(config: dict[str, Any], most: int, random: Random, clock: VirtualClock, tally: Counter[str]) -> None:
    """Asks every meter of a configuration everything, until so many answers were given."""
    spy = Spy()
    until = tally["answers"] + most
    for entry in config["lines"]:
        meters = [m for m in config["meters"] if m["line"] == entry["id"] and m["protocol"] in METER_PROTOCOLS]
        port = FuzzedPort(spy, random, tally)
        mixed = any(meter["protocol"] != "modbus" for meter in meters)
        settings = Settings.parse(int(entry["baud"]), entry["framing"])
        line = Line(entry["id"], port, settings, clock, forbid_unit=0x68 if mixed else None)
        await line.open()
        for one in random.sample(meters, len(meters)):
            if tally["answers"] >= until:
                break
            try:
                meter = build_meter(one, config, line)
            except (ValueError, KeyError, TypeError):
                tally["meters refused"] += 1
                continue
            tally["meters"] += 1
            await _ask_everything(meter, random, tally)
        await line.close()
    tally["transmissions"] += spy.transmissions
    tally["frames"] += spy.frames
    tally["across silence"] += spy.across_silence
    tally["forbidden"] += len(spy.forbidden)
    for found in spy.forbidden[:3]:
        tally[f"example {found}"] += 1


def run(configurations: int, answers: int, seed: str) -> Counter[str]:
    """So many configurations and at least so many answers. The key `forbidden` must stay 0."""
    random, tally, played = Random(seed), Counter[str](), 0
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "fuzzed.yaml"
        while tally["configurations"] < configurations or tally["answers"] < answers:
            tally["configurations"] += 1
            if random.random() < 0.5:
                path.write_text(_mutated_text(random), encoding="utf-8")
                config = load(path).config
                if config is None:
                    tally["configurations refused"] += 1
                    continue
            else:
                config = _mutated_effective(random)
            played += 1
            clock = VirtualClock(START_MS)
            left = max(1, answers - tally["answers"])
            share = -(-left // max(1, (configurations - tally["configurations"]) // 2))
            clock.run(_play(config, min(left, share), random, clock, tally))
    logging.disable(logging.NOTSET)
    tally["configurations played"] = played
    return tally


def _work(task: tuple[int, int, str]) -> Counter[str]:
    return run(*task)


def main() -> int:
    parser = argparse.ArgumentParser(description="nothing but reads on the wire")
    parser.add_argument("--configurations", type=int, default=100)
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    began, total = time.monotonic(), Counter[str]()
    chunks = -(-options.configurations // CHUNK)
    tasks = [
        (min(CHUNK, options.configurations - n * CHUNK), -(-options.answers // chunks), f"{options.seed}:{n}")
        for n in range(chunks)
    ]
    with multiprocessing.Pool(options.processes) as pool:
        for tally in pool.imap_unordered(_work, tasks):
            total += tally
            so_far = ", ".join(f"{name} {total[name]}" for name in ("configurations", "answers", "forbidden"))
            print(f"\r{so_far}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"gate, seed {options.seed}, {time.monotonic() - began:.0f} s")
    for key, count in sorted(total.items()):
        print(f"  {key}: {count}")
    print(f"forbidden functions on the wire: {total['forbidden']}")
    return 3 if total["forbidden"] else 0


if __name__ == "__main__":
    sys.exit(main())
