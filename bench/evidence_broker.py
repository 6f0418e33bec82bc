"""`python -m bench.evidence_broker [--trials N] [--seed S] [--scenes a,b]`: brokers that lie, forget, refuse and die.

    log ── outbox ──▶ liar ──▶ a real mosquitto with unkind settings ──▶ an auditor by the contract, which cosigns

A trial: sweeps of random size are committed while the broker does its worst, then one more. Some brokers never get any
better; where one must change its settings first (sizes, topics), it does so before the last sweep. A trial is good when
the auditor holds every record of the store as it stands there, in one epoch without a fork, and its receipts cover all
of it. An interval is a second here and a day two, so that what waits for hours is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from agent.delivery import outbox as outbox_module
from agent.delivery.mqtt import Broker
from agent.delivery.outbox import Outbox
from agent.evidence.log import Log
from agent.evidence.store import Receipt
from bench.evidence_auditor import Auditor, Ledger, free_port, make_log, mosquitto, reading
from bench.evidence_proxy import Fate, Liar, Proxy
from drivers.clock import RealClock

START_S = 1_783_641_600
INTERVAL_S = 1
SWEEPS = 6
PAUSE_S = 0.3
LIMIT_S = 400.0  # the waits for a receipt double: 3, 6, 12 … s
AT_ONCE = 8  # trials; they mostly wait
QUICK = {"BACKOFF_S": (0.05, 0.2), "ANSWER_S": 3.0, "RETRY_MS": 2_000}


@dataclass
class Trial:
    """One log on its way through a bad broker. `to_port` is where the outbox connects, `broker_port` mosquitto."""

    random: Random
    place: Path
    auditor: Auditor = field(init=False)
    broker_port: int = field(default_factory=free_port)
    to_port: int = 0
    refused: int = 0
    ended: Callable[[], None] = lambda: None  # what makes the broker better

    @asynccontextmanager
    async def broker(self, settings: str = "") -> AsyncIterator[int]:
        with mosquitto(self.place / "broker", self.broker_port, settings) as pid:
            yield pid

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        self.to_port = self.to_port or self.broker_port
        with Auditor("127.0.0.1", self.broker_port) as self.auditor:
            yield


Scene = Callable[[Trial], AbstractAsyncContextManager[None]]


def lying(**parts: float) -> Scene:
    """A proxy in front of a good broker that gives each fate its part of the packets, for ever."""

    @asynccontextmanager
    async def scene(trial: Trial) -> AsyncIterator[None]:
        fates: list[Fate] = ["pass", *parts]  # type: ignore[list-item]
        weights = [1 - sum(parts.values()), *parts.values()]
        async with trial.broker("max_queued_messages 0\n"), Liar("127.0.0.1", trial.broker_port) as liar:
            liar.fate = lambda: trial.random.choices(fates, weights)[0]
            trial.to_port = liar.port
            async with trial.listening():
                yield

    return scene


@asynccontextmanager
async def drops_all(trial: Trial) -> AsyncIterator[None]:
    """Acknowledges everything and passes nothing on, until it is better."""
    async with trial.broker("max_queued_messages 0\n"), Liar("127.0.0.1", trial.broker_port) as liar:
        worst: list[Fate] = ["acknowledge"]
        liar.fate = lambda: worst[-1]
        trial.ended = lambda: worst.append("pass")
        trial.to_port = liar.port
        async with trial.listening():
            yield


@asynccontextmanager
async def cut(trial: Trial) -> AsyncIterator[None]:
    """No connection carries more than so many bytes."""
    async with trial.broker("max_queued_messages 0\n"), Proxy("127.0.0.1", trial.broker_port) as proxy:
        proxy.up_limit = lambda _n: trial.random.randint(5_000, 60_000)
        trial.to_port = proxy.port
        async with trial.listening():
            yield


@asynccontextmanager
async def small_queue(trial: Trial) -> AsyncIterator[None]:
    """Keeps ten messages for an auditor who is away, and acknowledges all; he comes back at the end."""
    async with trial.broker("max_queued_messages 10\nmax_inflight_messages 5\n"):
        trial.to_port = trial.broker_port
        ledger = Ledger()
        with Auditor("127.0.0.1", trial.broker_port, ledger=ledger):
            pass  # his session stays
        async with AsyncExitStack() as stack:
            back = Auditor("127.0.0.1", trial.broker_port, ledger=ledger)
            trial.auditor = back

            def come_back() -> None:
                stack.enter_context(back)

            trial.ended = come_back
            yield


@asynccontextmanager
async def killed(trial: Trial) -> AsyncIterator[None]:
    """kill -9 every half a second or so, begun anew with nothing."""
    stop = asyncio.Event()

    async def die() -> None:
        while not stop.is_set():
            async with trial.broker() as pid:
                up.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(trial.random.uniform(0.2, 1.0)):
                        await stop.wait()
                if not stop.is_set():
                    os.kill(pid, signal.SIGKILL)
        async with trial.broker():
            await over.wait()

    up, over = asyncio.Event(), asyncio.Event()
    dying = asyncio.create_task(die())
    await up.wait()
    trial.ended = stop.set
    try:
        async with trial.listening():
            yield
    finally:
        over.set()
        stop.set()
        await dying


def refusing(first: str, then: str) -> Scene:
    """Settings that refuse, and what they are changed to; the broker is started anew for it."""

    @asynccontextmanager
    async def scene(trial: Trial) -> AsyncIterator[None]:
        better, over = asyncio.Event(), asyncio.Event()
        acl = trial.place / "acl"
        acl.write_text(
            "topic readwrite hubiao/v1/+/gateway/#\ntopic read hubiao/#\ntopic write hubiao/v1/+/meter/m-000/#\n"
        )
        acl.chmod(0o644)
        up = asyncio.Event()

        async def serve() -> None:
            async with trial.broker(first.format(acl=acl)):
                up.set()
                await better.wait()
            async with trial.broker(then):
                await over.wait()

        serving = asyncio.create_task(serve())
        await up.wait()
        trial.ended = better.set
        try:
            async with trial.listening():
                yield
        finally:
            better.set()
            over.set()
            await serving

    return scene


SCENES: dict[str, Scene] = {
    "acknowledges and drops 3 of 10": lying(acknowledge=0.3),
    "acknowledges and drops all, for a while": drops_all,
    "neither acknowledges nor passes on 1 of 100": lying(swallow=0.01),
    "says quota exceeded to 1 of 5": lying(quota=0.2),
    "passes 1 of 3 on twice": lying(twice=0.33),
    "all of these": lying(acknowledge=0.1, quota=0.1, twice=0.1, swallow=0.003),
    "keeps 10 messages for an auditor who is away": small_queue,
    "killed every half a second, begins with nothing": killed,
    "cuts every connection after 5 to 60 kB": cut,
    "refuses payloads above 1,000 bytes, then takes them": refusing("message_size_limit 1000\n", ""),
    "allows packets of 1,200 bytes, then larger ones": refusing("max_packet_size 1200\n", ""),
    "denies all meters but one, then allows them": refusing("acl_file {acl}\n", ""),
    "takes one message at a time": refusing("max_inflight_messages 1\n", "max_inflight_messages 1\n"),
}


async def one(scene: Scene, random: Random, place: Path) -> Counter[str]:
    """One trial: counts, and `incomplete` where the auditor has not all of it in the end."""
    trial = Trial(random, place)
    clock = RealClock(trusted=True)
    store, log = await make_log(place / "data", clock)
    commits: set[asyncio.Task[None]] = set()
    writing = asyncio.Lock()  # one task at a time writes a log

    async def commit() -> None:
        async with writing:
            await log.commit()

    def take(receipt: Receipt) -> None:
        if log.witness(receipt):
            commits.add(asyncio.create_task(commit()))

    def refused(*_: object) -> None:
        trial.refused += 1

    async with scene(trial):
        broker = Broker("127.0.0.1", trial.to_port, False)
        outbox = Outbox(log, broker, clock, INTERVAL_S, refused, take=take)
        sending = asyncio.create_task(outbox.run())
        for n in range(SWEEPS):
            sweep(log, random, n)
            await commit()
            await asyncio.sleep(PAUSE_S)
        trial.ended()
        sweep(log, random, SWEEPS)
        await commit()
        began, complete = time.monotonic(), False
        for _ in range(round(LIMIT_S / 0.1)):
            await asyncio.sleep(0.1)
            complete = await _complete(log, trial.auditor.ledger)
            if complete:
                break
        took_s = time.monotonic() - began
        sending.cancel()
        await asyncio.gather(sending, *commits, return_exceptions=True)
        ledger = trial.auditor.ledger
    await log.close()
    await store.close()
    return Counter(
        trials=1,
        records=log.size,
        incomplete=not complete,
        forks=len(ledger.forks) + len(ledger.faults) + (len(ledger.hashes) != 1),
        again=ledger.again,
        set_aside=trial.refused,
        slowest_s=round(took_s),
    )


def sweep(log: Log, random: Random, n: int) -> None:
    """Readings of random meters; one in ten is large."""
    for meter in range(random.randint(1, 60)):
        body = reading(meter, START_S + 900 * n)
        if random.random() < 0.1:
            body.sources[0].exchanges.extend(body.sources[0].exchanges * 3)
        log.add(body)


async def _complete(log: Log, ledger: Ledger) -> bool:
    """Whether the auditor holds the store, and his receipts cover all but what they themselves caused."""
    held = ledger.hashes.get(log.epoch.id, {})
    if log.delivered < log.testimony or len(held) < log.testimony:
        return False
    rows = await log.read(0, log.testimony)
    return all(held.get(seq) == leaf for seq, _, leaf in rows[: log.testimony])


async def campaign(trials: int, seed: int, names: list[str]) -> dict[str, Counter[str]]:
    """So many trials of each scene."""
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    free = asyncio.Semaphore(AT_ONCE)

    async def run(name: str, n: int) -> None:
        async with free:
            with tempfile.TemporaryDirectory(prefix="hubiao-broker-") as directory:
                os.chmod(directory, 0o755)
                counts = await one(SCENES[name], Random(f"{seed}/{name}/{n}"), Path(directory))
            slowest = max(found[name]["slowest_s"], counts["slowest_s"])
            found[name].update(counts)
            found[name]["slowest_s"] = slowest

    with quick():
        await asyncio.gather(*(run(name, n) for n in range(trials) for name in names))
    return found


@contextmanager
def quick() -> Iterator[None]:
    """A day and a minute are short here."""
    before = {name: getattr(outbox_module, name) for name in QUICK}
    for name, value in QUICK.items():
        setattr(outbox_module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(outbox_module, name, value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenes", default="", help="parts of their names, separated by commas; all if absent")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    wanted = options.scenes.split(",")
    began = time.monotonic()
    found = asyncio.run(
        campaign(options.trials, options.seed, [name for name in SCENES if any(part in name for part in wanted)])
    )
    for name, counts in found.items():
        print(f"{name}: " + ", ".join(f"{what} {counts[what]}" for what in COUNTS))
    print(f"{time.monotonic() - began:.0f} s")


COUNTS = ("trials", "records", "incomplete", "forks", "again", "set_aside", "slowest_s")

if __name__ == "__main__":
    main()
