"""`python -m bench.evidence_hostile [--receipts N] [--sessions N] [--seed S]`: hostile input from the broker's side.

Receipts: payloads mutated from a good one, from its parts, or at random, judged as the outbox judges them. Sessions: a
broker of our own that answers CONNECT and then sends packets that are cut, mutated, endless or random. No state may
change without a valid receipt, nothing may crash, nothing may take a second.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from agent.delivery.mqtt import Broker, Connection, UplinkError, Will
from agent.evidence.log import Log
from agent.evidence.receipts import ReceiptRefused, judge
from bench.evidence_auditor import AUDITOR_KEY, AUDITOR_NAME, make_log, reading
from contract import note
from drivers.clock import RealClock

CONNACK = bytes.fromhex("2003000000")  # MQTT 5, success, no properties


def mutated(random: Random, good: bytes) -> bytes:
    """A receipt with bytes changed, cut out, doubled or put in; lines exchanged; or no receipt at all."""
    if random.random() < 0.05:
        return random.randbytes(random.choice((0, 1, 30, 300, 20_000)))
    data = bytearray(good)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data)) if data else 0
        match random.randrange(6):
            case 0:
                data[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                del data[at : at + random.randint(1, 20)]
            case 2:
                data[at:at] = data[at : at + random.randint(1, 40)]
            case 3:
                data[at:at] = random.choice([b"\n", b"\n\n", b"\0", "— ".encode(), b"+", b"9" * 30])
            case 4:
                lines = bytes(data).split(b"\n")
                random.shuffle(lines)
                data = bytearray(b"\n".join(lines))
            case _:
                data = data[: random.randrange(len(data) + 1)]
    return bytes(data)


async def receipts(log: Log, count: int, random: Random) -> Counter[str]:
    """So many payloads against a log. Gives what happened."""
    good = note.cosign(AUDITOR_KEY, AUDITOR_NAME, log.checkpoint, int(time.time())).encode()
    before = (log.size, log.next_seq, dict(log.witnessed), log.delivered)
    happened: Counter[str] = Counter()
    for _ in range(count):
        payload = mutated(random, good)
        began = time.thread_time()
        try:
            await judge(payload, log)
            happened["still_valid" if payload != good else "unchanged"] += 1
        except ReceiptRefused:
            happened["refused"] += 1
        happened["over_a_second"] += time.thread_time() - began > 1
    happened["state_changed"] += (log.size, log.next_seq, dict(log.witnessed), log.delivered) != before
    return happened


def packets(random: Random) -> bytes:
    """What a hostile broker says after CONNACK."""
    publish = b"\x32\x20\x00\x08hubiao/a\x00\x01\x00" + random.randbytes(19)
    good = [publish, b"\x40\x03\x00\x01\x87", b"\xd0\x00", b"\x90\x04\x00\x01\x00\x01", b"\xe0\x02\x81\x00"]
    match random.randrange(5):
        case 0:
            return random.randbytes(random.randrange(400))
        case 1:
            return b"\x30\xff\xff\xff\x7f" + random.randbytes(2_000)  # 256 MB remaining length, then nothing
        case 2:
            return b"\x30\xff\xff\xff\xff\xff"  # a length of five bytes
        case 3:
            return random.choice(good)[: random.randrange(8)]
        case _:
            data = bytearray(b"".join(random.choices(good, k=random.randint(1, 40))))
            for _ in range(random.randint(1, 5)):
                data[random.randrange(len(data))] = random.randrange(256)
            return bytes(data)


async def sessions(count: int, random: Random) -> Counter[str]:
    """So many connections to a hostile broker."""
    happened: Counter[str] = Counter()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write((CONNACK if random.random() < 0.9 else b"") + packets(random))
        await asyncio.sleep(random.choice((0, 0.02)))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for _ in range(count):
        wake = asyncio.Event()
        connection = Connection(Broker("127.0.0.1", port, False), "hubiao", Will("hubiao/w", b""), wake)
        try:
            async with asyncio.timeout(5):
                await connection.open()
                while not connection.lost:
                    wake.clear()
                    await wake.wait()
            happened["lost"] += 1
        except UplinkError:
            happened["refused"] += 1
        except TimeoutError:
            happened["hung"] += 1
        finally:
            await connection.close()
    server.close()
    return happened


async def campaign(payloads: int, connections: int, seed: int) -> dict[str, Counter[str]]:
    random = Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        store, log = await make_log(Path(directory), RealClock(trusted=True))
        for meter in range(50):
            log.add(reading(meter, 1_783_641_600))
        await log.commit()
        result = {"receipts": await receipts(log, payloads, random), "sessions": await sessions(connections, random)}
        await log.close()
        await store.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receipts", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    for name, happened in asyncio.run(campaign(options.receipts, options.sessions, options.seed)).items():
        print(f"{name}: " + ", ".join(f"{what} {n}" for what, n in sorted(happened.items())))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s, peak RSS {peak_mb} MB")


if __name__ == "__main__":
    main()
