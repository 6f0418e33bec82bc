"""One RS-485 bus: carries characters between the agent's end and the meters in the time a real wire would take.

    request … last character | Td | reply, `fifo` characters at a time | …      loop time, real or virtual

What the agent writes reaches every meter when its last character would have left the wire; answers come back at the
line's speed. Two answers at once collide, a master that talks into an answer spoils both, a meter hears only its own
speed. Knows no protocol beyond the second master's question; the operating system's end is in wires.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from drivers.dlt645.frame import Frame, encode
from drivers.ports import Settings
from simulators.dlt645_meter import Dlt645Meter, Reply
from simulators.faults import Fault, Faults, collide, flip, rubbish, spoil

FIFO = 16  # characters that a UART hands over at once
LOOK_S = 5.0  # a second master that is not there yet
HALF_FRAME_S = 0.5  # the longest pause between two characters of a DL/T 645 frame


class Device(Protocol):
    """A meter of any protocol on the wire."""

    id: str
    baud: int
    framing: str

    def hear(self, data: bytes, at_ms: int) -> Reply | None: ...

    def forget(self) -> None: ...


class Bus:
    """A bus and its meters.

    now_ms: the truth's time, UTC ms, at which registers are sampled. paced: False gives every answer at once.
    end: set by the wire that carries it; takes what the agent is to receive. `speed`: tells at which baud rate the
    agent sends, None where nobody can know (then every meter understands). `framing`: the same for its parity.
    """

    def __init__(
        self,
        line: str,
        meters: Sequence[Device],
        settings: Settings,
        *,
        now_ms: Callable[[], int],
        faults: Faults | None = None,
        seed: int = 1,
        paced: bool = True,
        fifo: int = FIFO,
    ) -> None:
        self.line = line
        self.meters = list(meters)
        self.settings = settings
        self.now_ms = now_ms
        self.faults = faults or Faults()
        self.fifo = fifo
        self.paced = paced
        self.end: Callable[[bytes], None] = lambda data: None
        self.speed: Callable[[], int | None] = lambda: None
        self.framing: Callable[[], str | None] = lambda: None
        self._random = Random(f"{seed}:{line}")
        self._burst = bytearray()
        self._spoiled = False
        self._sent_until = 0.0
        self._answer_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._deliveries: list[asyncio.TimerHandle] = []
        self._other_master: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts what happens without being asked: the second master."""
        if self.faults.known("other_master", self.line):
            self._other_master = asyncio.get_running_loop().create_task(self._talk())

    def stop(self) -> None:
        """Nothing more is heard or delivered."""
        for handle in self._deliveries:
            handle.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._other_master is not None:
            self._other_master.cancel()

    def receive(self, data: bytes) -> None:
        """Takes what the agent wrote: it is on the wire from now on, or behind what it wrote before."""
        now = asyncio.get_running_loop().time()
        if now < self._answer_until:
            self._interrupt()
        if now > self._sent_until + HALF_FRAME_S:
            self._forget()
        start = max(now, self._sent_until)
        self._sent_until = start + self._seconds(len(data))
        self._burst += data
        if self.faults.find("echo", self.line, self.now_ms()):
            self._deliver(data, start)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._sent_until, self._heard)

    def _seconds(self, characters: int) -> float:
        baud = self.speed() or self.settings.baud
        return characters * self.settings.bits_per_char / baud if self.paced else 0.0

    def _interrupt(self) -> None:
        """The master talks into an answer: the rest of it is lost, and nobody understands the master."""
        for handle in self._deliveries:
            handle.cancel()
        self._deliveries.clear()
        self._answer_until = 0.0
        self._spoiled = True

    def _forget(self) -> None:
        for meter in self.meters:
            meter.forget()

    def _heard(self) -> None:
        """The request's last character has left the wire."""
        self._timer = None
        data, at_ms = bytes(self._burst), self.now_ms()
        self._burst.clear()
        if self._spoiled:
            self._spoiled = False
            self._forget()
            return
        if self.faults.find("power_cut", self.line, at_ms):
            return
        noise = self.faults.find("noise", self.line, at_ms)
        replies: list[Reply] = []
        for meter in self.meters:
            if not self._understands(meter, at_ms):
                continue
            heard = flip(data, noise.amount, self._random) if noise else data
            reply = meter.hear(heard, at_ms)
            if reply is not None:
                replies += self._as_sent(meter, reply, at_ms)
        if replies:
            self._answer(replies, noise, at_ms)

    def _understands(self, meter: Device, at_ms: int) -> bool:
        """Whether a meter is wired and set so that it can hear what the agent sends."""
        speed = self.faults.find("speed", meter.id, at_ms)
        if self.speed() not in (None, int(speed.amount) if speed else meter.baud):
            return False
        if self.faults.find("framing", meter.id, at_ms):
            other = "8N1" if meter.framing == "8E1" else "8E1"
            return self.framing() == other
        return self.framing() in (None, meter.framing) and not self.faults.find("swapped_ab", meter.id, at_ms)

    def _as_sent(self, meter: Device, reply: Reply, at_ms: int) -> list[Reply]:
        """The reply after the meter's own faults: none, one, or two if another meter has the same address."""
        delay, data, second = reply.delay_s, reply.data, None
        for fault in self.faults.on(meter.id, at_ms):
            if fault.kind == "silent" or (fault.kind == "dying" and self._random.random() < fault.amount):
                return []
            if fault.kind == "late":
                delay += fault.amount
            elif fault.kind == "duplicate":
                second = Reply(delay + fault.amount, data)
            else:
                data = spoil(data, fault)
        return [Reply(delay, data)] + ([second] if second else [])

    def _answer(self, replies: list[Reply], noise: Fault | None, at_ms: int) -> None:
        now = asyncio.get_running_loop().time()
        burst = self.faults.find("burst", self.line, at_ms)
        for start, data in self._on_the_wire(replies):
            if burst:
                data = rubbish(int(burst.amount), self._random) + data
            if noise:
                data = flip(data, noise.amount, self._random)
            self._answer_until = self._deliver(data, now + start)

    def _on_the_wire(self, replies: list[Reply]) -> list[tuple[float, bytes]]:
        """(seconds from now, bytes) of what is heard: answers that overlap are one piece of rubbish."""
        character = self._seconds(1)
        heard: list[tuple[float, bytes]] = []
        for reply in sorted(replies, key=lambda reply: reply.delay_s):
            delay = reply.delay_s if self.paced else 0.0
            if heard and delay < heard[-1][0] + len(heard[-1][1]) * character:
                start, before = heard[-1]
                heard[-1] = (start, collide(before, reply.data, round((delay - start) / character)))
            elif heard and not self.paced:
                heard[-1] = (delay, collide(heard[-1][1], reply.data, 0))
            else:
                heard.append((delay, reply.data))
        return heard

    def _deliver(self, data: bytes, start: float) -> float:
        """Hands bytes to the agent's end in the time of the wire; gives the time of the last."""
        loop = asyncio.get_running_loop()
        self._deliveries = [handle for handle in self._deliveries if handle.when() > loop.time()]
        due = start
        for at in range(0, len(data), self.fifo):
            part = data[at : at + self.fifo]
            due = start + self._seconds(at + len(part))
            self._deliveries.append(loop.call_at(due, self.end, part))
        return due

    async def _talk(self) -> None:
        """A second master reads the first meter again and again, as another system on the same bus does."""
        while True:
            fault = self.faults.find("other_master", self.line, self.now_ms())
            await asyncio.sleep(fault.amount if fault else LOOK_S)
            loop = asyncio.get_running_loop()
            meter = next((meter for meter in self.meters if isinstance(meter, Dlt645Meter)), None)
            if fault is None or meter is None or loop.time() < max(self._sent_until, self._answer_until):
                continue
            data = b"\x10\x90" if meter.edition == "1997" else bytes((0, 0, 1, 0))
            control = 0x01 if meter.edition == "1997" else 0x11
            request = encode(Frame(meter.address, control, data))
            self._answer_until = self._deliver(request, loop.time())
            await asyncio.sleep(self._seconds(len(request)))
            reply = meter.hear(request, self.now_ms())
            if reply is not None:
                self._answer([reply], None, self.now_ms())
