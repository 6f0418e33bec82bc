"""Paced lines of our simulators in a process of their own, with an account of the wire: what physics asks for at least.

    minimum of an answered exchange = characters both ways × bits / baud + the meter's delay + 3.5 characters (Modbus)

    lag of a request = from the end of that silence, or of an unanswered request, to its first byte

    child = await Paced.start([Wire(…), …]);  child.ports;  await child.report();  await child.silence(0, {5, 15, 25})

Timers are spun over their last part: a bus that is late by a millisecond an exchange would be counted against whoever
asks. A master that speaks within 3.5 characters of an answer breaks the gap; with `strict` no meter understands it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.rack import Keeps, Rack
from drivers.ports import Settings
from simulators.bus import Bus
from simulators.dlt645_meter import Reply
from simulators.wires import Pty, Tcp

SPIN_S = 0.00015
MODBUS_GAP = 3.5
JITTER_S = 0.0002  # of this process's own look at the clock
MOST_LAGS = 10_000  # of which the account remembers how long the wire lay idle
PARTS = {"min": 0.0, "p10": 0.1, "p50": 0.5, "p90": 0.9, "max": 1.0}
MOST_SAID = 1 << 24  # bytes of a report: some kilobytes a line
TIMER_SLACK = 29  # PR_SET_TIMERSLACK


@dataclass(slots=True)
class Wire:
    """One line to be played."""

    protocol: str  # modbus or dlt645
    baud: int = 9600
    framing: str = "8N1"
    meters: int = 32
    delay_s: float = 0.03
    silent: list[int] = field(default_factory=list)
    strict: bool = False
    fifo: int = 1
    wake: int = 4
    tick_ms: int = 60_000
    keeps: str = ""  # what its meters remember: `load_profile`, `freeze`
    others: dict[int, dict[str, Any]] = field(default_factory=dict)  # number → bench.rack.Keeps of its own
    spread: int = 0  # as bench.rack's
    tcp: bool = False  # behind a converter on loopback instead of a pseudo-terminal


class Accounted(Bus):
    """A bus that keeps the account. Answers begin at the request's end as the wire has it, not when we woke up."""

    def __init__(self, wire: Wire, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        settings = Settings.parse(wire.baud, wire.framing)
        self.rack = Rack(
            wire.protocol,
            range(1, wire.meters + 1),
            wire.delay_s,
            wire.baud,
            wire.framing,
            wire.wake,
            silent=set(wire.silent),
            tick_ms=wire.tick_ms,
            keeps=Keeps(wire.keeps),
            others={int(number): Keeps(**keeps) for number, keeps in wire.others.items()},
            spread=wire.spread,
        )
        super().__init__("bench", [self.rack], settings, now_ms=now_ms, fifo=wire.fifo)
        self._gap_s = self._seconds(1) * MODBUS_GAP if wire.protocol == "modbus" else 0.0
        self._strict = wire.strict
        self._request_s = 0.0
        self.reset()

    def reset(self) -> None:
        self.first_at = self.last_at = self._quiet_from = 0.0
        self.account = {
            "exchanges": 0,
            "unanswered": 0,
            "deaf": 0,
            "gap_violations": 0,
            "tx": 0,
            "rx": 0,
            "wire_min": 0.0,
            "unanswered_s": 0.0,
        }
        self.answered_at: dict[int, float] = {}
        self.violations: list[dict[str, float]] = []
        self._due: list[float] = []  # of the last answer's first and last character, those that have not gone yet
        self._late_s = 0.0
        self._asked_at = 0.0  # when the request that is being answered began to arrive
        self._lags: deque[float] = deque(maxlen=MOST_LAGS)

    def receive(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if not self._burst:
            self._request_s = 0.0
            if not self.first_at:
                self.first_at = now
            else:
                lag_s = now - self._quiet_from - self._gap_s
                self._lags.append(lag_s)
                if lag_s < -JITTER_S:
                    self.account["gap_violations"] += 1
                    self._witness(now, lag_s)
                    self._spoiled = self._strict
            self._asked_at = now
        self.account["tx"] += len(data)
        self._request_s += self._seconds(len(data))
        super().receive(data)

    def _witness(self, now: float, lag_s: float) -> None:
        """How late this process was with the answer that was talked into, and when it heard what that answers.

        A master cannot wait for ever, and counts from when it sent: `bench.line` adds how long the kernel took.
        """
        pending_s = (now - due for due in self._due)
        late_s = max(self._late_s, *pending_s, 0.0)
        self.violations.append(
            {"lag_ms": round(1000 * lag_s, 1), "answer_late_ms": round(1000 * late_s, 1), "asked_at": self._asked_at}
        )

    def _expect(self, *due: float) -> None:
        """Watches when the first and the last character of an answer really go."""
        loop = asyncio.get_running_loop()
        self._due, self._late_s = list(due), 0.0
        for when in due:
            loop.call_at(when, self._arrived, when)

    def _arrived(self, due: float) -> None:
        if due in self._due:
            self._due.remove(due)
            self._late_s = max(self._late_s, asyncio.get_running_loop().time() - due)

    def _heard(self) -> None:
        deaf = self._spoiled
        before = self.account["exchanges"]
        super()._heard()
        if deaf:
            self.account["deaf"] += 1
        if self.account["exchanges"] == before:
            self._quiet_from = self.last_at = self._sent_until
            self.account["unanswered"] += not deaf
            self.account["unanswered_s"] += self._request_s

    def _answer(self, replies: list[Reply], noise: object, at_ms: int) -> None:
        for start, data in self._on_the_wire(replies):
            began = self._sent_until + start
            self._expect(began + self._seconds(1), began + self._seconds(len(data)))
            self._answer_until = self._deliver(data, began)
            self.account["exchanges"] += 1
            self.account["rx"] += len(data)
            self.account["wire_min"] += self._request_s + start + self._seconds(len(data)) + self._gap_s
        self._quiet_from = self.last_at = self._answer_until
        self.answered_at[self.rack.asked] = self._answer_until

    def report(self) -> dict[str, Any]:
        elapsed = self.last_at + self._gap_s - self.first_at
        lags = [round(1000 * lag_s, 3) for lag_s in sorted(self._lags)]
        lag_ms = {name: lags[int(part * (len(lags) - 1))] for name, part in PARTS.items()} if lags else {}
        times = {"elapsed": elapsed, "first_at": self.first_at, "answered_at": self.answered_at, "lag_ms": lag_ms}
        return {**self.account, **times, "violations": self.violations}


class _SpinningSelector(selectors.SelectSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        until = time.monotonic() + timeout
        ready = super().select(max(0.0, timeout - SPIN_S))
        while not ready and time.monotonic() < until:
            ready = super().select(0)
        return ready


async def _play(wires: list[Wire]) -> None:
    buses = [Accounted(wire) for wire in wires]
    ends: list[Pty | Tcp] = [Tcp(bus) if wire.tcp else Pty(bus) for wire, bus in zip(wires, buses, strict=True)]
    ports = [await end.open("127.0.0.1", 0) if isinstance(end, Tcp) else end.open() for end in ends]
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    _say(ports)
    while line := await commands.readline():
        word, *rest = json.loads(line)
        if word == "reset":
            for bus in buses:
                bus.reset()
            _say(None)
        elif word == "report":
            _say([bus.report() for bus in buses])
        elif word == "silence":
            buses[rest[0]].rack.silent = set(rest[1])
            _say(loop.time())
        elif word == "slow":
            buses[rest[0]].rack.slow = {int(number): delay for number, delay in rest[1].items()}
            _say(loop.time())
    for end in ends:
        if isinstance(end, Tcp):
            await end.close()
        else:
            end.close()


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Paced:
    """The child, from the other side."""

    def __init__(self, process: asyncio.subprocess.Process, ports: list[str]) -> None:
        self._process, self.ports, self.pid = process, ports, process.pid

    @classmethod
    async def start(cls, wires: list[Wire]) -> Paced:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.paced", json.dumps([asdict(wire) for wire in wires])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MOST_SAID,
        )
        assert process.stdout is not None
        return cls(process, json.loads(await process.stdout.readline()))

    async def _ask(self, *words: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        return json.loads(await self._process.stdout.readline())

    async def reset(self) -> None:
        await self._ask("reset")

    async def report(self) -> list[dict[str, Any]]:
        report: list[dict[str, Any]] = await self._ask("report")
        return report

    async def silence(self, line: int, meters: set[int]) -> float:
        """These do not answer from now on, all others do; gives the child's monotonic time."""
        return float(await self._ask("silence", line, sorted(meters)))

    async def slow(self, line: int, delays: dict[int, float]) -> None:
        await self._ask("slow", line, delays)

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


def main() -> None:
    ctypes.CDLL(None).prctl(TIMER_SLACK, 1, 0, 0, 0)
    wires = [Wire(**wire) for wire in json.loads(sys.argv[1])]
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_SpinningSelector())) as runner:
        runner.run(_play(wires))


if __name__ == "__main__":
    main()
