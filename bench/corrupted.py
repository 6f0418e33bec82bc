"""Corrupted answers through the whole chain: noise → reader → driver → two looks → plausibility → what is accepted.

    true answer ─ noise ─▶ ReplyReader ─ recognised? ─▶ meter.look ─▶ asking ─▶ validation ─▶ accepted?

Every corrupted answer is fed to the real reader of its request. One that is recognised begins a settlement read: the
driver decodes it, asks its second question, and so on as on a line; each further answer is disturbed by the same model
with probability ½, and always where the fault is repeatable. The register ticks between two answers now and then.
Every second read is one in passes (polling/passes.py): a total, later the corrupted block, later a total again, and the
register ticks by several counts in between. Accepted and wrong is a billing value (import, export) that the meter did
not show at any moment of the read; `elsewhen`: one that it showed, but a tick before or after its answer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from decimal import Decimal
from random import Random
from typing import Any, Protocol, TypeVar

from agent.polling.asking import ask
from agent.polling.passes import Passes
from agent.reading import Missed, Observation
from agent.validation import Limits, Validator
from bench.noise import MODELS, Disturb, Noise
from drivers.clock import VirtualClock
from drivers.errors import Garbled
from drivers.exchange import Answer, Exchange
from drivers.meter import Bus, Meter

ATTEMPTS = 3  # as agent.polling.poller has it
SLOT_MS = 900_000
NOW_MS = 1_790_000_000_000
LIMITS = Limits(Decimal(90), Decimal(10) ** 6)  # 100 A, three phases, six digits: 22.5 kWh in 15 minutes
SAMPLES_A_CASE = 500
CHUNK = 20_000
PASS_MS = 13_000  # from one pass to the next
MOST_TICKS = 4  # of a register from one pass to the next
TICKS = 0.2  # probability that the register moves between two answers
DISTURBED = 0.5  # of the answers after the first
EXCHANGE_MS = 200
BILLING = ("import", "export")
T = TypeVar("T")


class Case(Protocol):
    """A meter with its registers, answering requests truly."""

    registers: dict[str, Decimal]

    def meter(self, bus: Bus) -> Meter: ...

    def answer(self, request: bytes) -> bytes: ...

    def rival(self, reply: bytes) -> bytes:
        """What a second meter of the same address says to the question that `reply` answers."""
        ...

    def tick(self) -> None:
        """The total grows by one count of its last digit, and so does a tariff."""
        ...


MakeCase = Callable[[Random], Case]


class _Listener:
    """A bus that only takes the first request down."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    async def exchange(self, exchange: Exchange) -> Answer:
        self.exchanges.append(exchange)
        raise Garbled("nobody answers here")


class _NoisyBus:
    """Answers truly through the noise; the first answer to `question`, the look's first request, is given."""

    def __init__(self, case: Case, question: bytes, disturb: Disturb, noise: Noise, random: Random) -> None:
        self.shown = [dict(case.registers)]
        self.given: bytes | None = None
        self.boot_ms = 0
        self.still = False  # the registers do not tick now
        self.apart = False  # what was believed came from a read in passes
        self._case, self._question, self._disturb = case, question, disturb
        self._noise, self._random = noise, random

    async def exchange(self, exchange: Exchange) -> Answer:
        if self.given is not None and exchange.request == self._question:
            heard, self.given = self.given, None
        else:
            heard = self._next(exchange.request)
        self.boot_ms += EXCHANGE_MS
        reader = exchange.reader()
        reply = reader.feed(heard)
        if reply is None:
            raise Garbled("noise", frame=heard)
        return Answer(exchange.request, reply, self.boot_ms, NOW_MS + self.boot_ms, 0.0)

    def move(self, ticks: int) -> None:
        """The register ticks so often."""
        for _ in range(ticks):
            self._case.tick()
            self.shown.append(dict(self._case.registers))

    def _next(self, request: bytes) -> bytes:
        if not self.still:
            self.move(int(self._random.random() < TICKS))
        reply = self._case.answer(request)
        return self._disturb(reply) if self._noise.repeatable or self._random.random() < DISTURBED else reply


def judge(make_case: MakeCase, noise: Noise, count: int, seed: str) -> Counter[str]:
    """Corrupts so many answers. Keys: corrupted, recognised, value (one look decoded to a wrong total), accepted,
    apart (of them in passes), elsewhen, wrong, wrong_tariff, trace of the first wrong one as `example …`."""
    random, tally, clock = Random(seed), Counter[str](), VirtualClock(NOW_MS)
    while tally["corrupted"] < count:
        case = make_case(random)
        disturb = noise.make(random, case.rival)
        listener = _Listener()
        _silently(case.meter(listener).look())
        exchange = listener.exchanges[0]
        true = case.answer(exchange.request)
        start = dict(case.registers)
        for _ in range(min(SAMPLES_A_CASE, count - tally["corrupted"])):
            if noise.repeatable:
                disturb = noise.make(random, case.rival)
            heard = disturb(true)
            reply = exchange.reader().feed(heard)
            if reply == true or heard == true:
                tally["intact"] += 1
                if tally["intact"] > 100 * count:
                    return tally
                continue
            tally["corrupted"] += 1
            if reply is not None:
                tally["recognised"] += 1
                bus = _NoisyBus(case, exchange.request, disturb, noise, random)
                bus.given = heard
                apart = tally["recognised"] % 2 == 0
                found = _run(_in_passes(case, bus, clock, random) if apart else _at_once(case, bus, clock))
                case.registers.update(start)
                _judge_read(found, case, bus, random, tally)
    return tally


async def _at_once(case: Case, bus: _NoisyBus, clock: VirtualClock) -> Observation | Missed:
    return await ask(case.meter(bus), LIMITS, clock, ATTEMPTS)


async def _in_passes(case: Case, bus: _NoisyBus, clock: VirtualClock, random: Random) -> Observation | Missed:
    """As the poller does it, with the given answer in the middle pass, when the registers are as they are now."""
    meter, passes, then = case.meter(bus), Passes(clock, lambda: None), dict(case.registers)
    heard, bus.given, bus.still = bus.given, None, True
    back = _ticks_back(case, random.randrange(MOST_TICKS + 1))
    bus.shown += back
    case.registers.update(back[0])
    await passes.totals_before(meter)
    case.registers.update(then)
    bus.given, bus.still, bus.boot_ms = heard, False, bus.boot_ms + PASS_MS
    await passes.blocks([meter])
    bus.move(random.randrange(MOST_TICKS + 1))
    bus.boot_ms += PASS_MS
    found = await passes.confirmed(meter, LIMITS)
    bus.apart = found is not None
    return found or await ask(meter, LIMITS, clock, ATTEMPTS)


def _ticks_back(case: Case, ticks: int) -> list[dict[str, Decimal]]:
    """What the meter showed so many ticks ago, and since."""
    now = dict(case.registers)
    case.tick()
    step = {name: case.registers[name] - value for name, value in now.items()}
    return [
        {name: max(value - n * step[name], Decimal(0)) for name, value in now.items()} for n in range(ticks, -1, -1)
    ]


def _judge_read(found: Observation | Missed, case: Case, bus: _NoisyBus, random: Random, tally: Counter[str]) -> None:
    before = dict(case.registers)
    if isinstance(found, Missed):
        return
    tally["agreed"] += 1
    grown = Decimal(random.randrange(500)) / 100
    ran = {"import", "import_t1", "export"}  # one tariff was in force since the last reading
    known = {name: value - grown if name in ran else value for name, value in before.items()}
    validator = Validator(LIMITS, known, NOW_MS - SLOT_MS)
    if not validator.judge(found).accepted:
        tally["implausible"] += 1
        return
    tally["accepted"] += 1
    if wrong := _wrong(found, bus.shown, BILLING):
        tally["wrong"] += 1
        _example(tally, wrong, found)
    elif _wrong(found, bus.shown, tuple(before)):
        tally["wrong_tariff"] += 1
    elif bus.apart:
        tally["apart"] += 1
        tally["elsewhen"] += any(found.registers[name] != before[name] for name in BILLING if name in found.registers)


def _wrong(found: Observation, shown: list[dict[str, Decimal]], names: tuple[str, ...]) -> list[str]:
    return [
        f"{name} {found.registers[name]} is none of {[str(one[name]) for one in shown]}"
        for name in names
        if name in found.registers and all(found.registers[name] != one[name] for one in shown)
    ]


def _example(tally: Counter[str], wrong: list[str], found: Observation) -> None:
    looks = [found.first] + ([found.second] if found.second else [])
    frames = " / ".join(answer.reply.hex() for look in looks for answer in look.answers)
    if not any(key.startswith("example") for key in tally):
        tally[f"example {'; '.join(wrong)}: {frames}"] = 1


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """A coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("a bus without a line does not wait")


def _silently(coroutine: Coroutine[Any, Any, object]) -> None:
    try:
        _run(coroutine)
    except Garbled:
        return


# running it on all cores

Shapes = Mapping[str, MakeCase]
Task = tuple[str, str, int, str, Shapes]  # noise, shape, count, seed


def _work(task: Task) -> tuple[str, str, Counter[str]]:
    model, shape, count, seed, shapes = task
    noise = next(noise for noise in MODELS if noise.name == model)
    return model, shape, judge(shapes[shape], noise, count, seed)


def _tasks(
    shapes: Mapping[str, MakeCase], count: int, seed: int
) -> Iterator[tuple[str, str, int, str, Mapping[str, MakeCase]]]:
    """`count` corrupted answers over the models of the line, and a share as large for those counted apart."""
    lines = [noise for noise in MODELS if not noise.apart]
    share = -(-count // (len(lines) * len(shapes)))
    for shape in shapes:
        for noise in MODELS:
            for at in range(0, share, CHUNK):
                size = min(CHUNK, share - at)
                yield noise.name, shape, size, f"{seed}:{shape}:{noise.name}:{at}", shapes


COLUMNS = ("corrupted", "recognised", "agreed", "implausible", "accepted", "apart", "elsewhen", "wrong_tariff", "wrong")


def campaign(title: str, shapes: Shapes) -> int:
    """Parses --count, --seed, --processes; prints a table; returns the number of wrong billing values (line noise)."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--count", type=int, default=100_000, help="corrupted answers over all line noise models")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    began = time.monotonic()
    rows: dict[str, Counter[str]] = {noise.name: Counter() for noise in MODELS}
    with multiprocessing.Pool(options.processes) as pool:
        for model, _, tally in pool.imap_unordered(_work, _tasks(shapes, options.count, options.seed)):
            rows[model] += tally
    print(f"# {title}: {options.count} corrupted answers, seed {options.seed}, shapes {', '.join(shapes)}")
    print(f"| noise | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    line, apart = Counter[str](), Counter[str]()
    for noise in MODELS:
        tally = rows[noise.name]
        print(f"| {noise.name}{' (apart)' * noise.apart} | {' | '.join(str(tally[name]) for name in COLUMNS)} |")
        if noise.apart:
            apart += tally
        else:
            line += tally
    print(f"| **all line noise** | {' | '.join(str(line[name]) for name in COLUMNS)} |")
    for key in [*line, *apart]:
        if key.startswith("example"):
            print(f"\n{key}")
    print(f"\nwrong billing values of line noise: {line['wrong']} of {line['corrupted']}")
    print(f"of exchanged bytes: {apart['wrong']} of {apart['corrupted']}")
    print(f"{time.monotonic() - began:.0f} s on {options.processes} processes")
    return line["wrong"]
