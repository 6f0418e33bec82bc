"""`python -m bench.campaign_modbus --count N --seed S`: corrupted Modbus RTU answers, none of which may bill.

Shipped models in equal parts: 32-bit integers with tariffs and their sum, 32-bit floats, 64-bit integers.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from functools import cache, partial
from random import Random

from bench.corrupted import campaign
from config.meter_models import load_models
from drivers.meter import Bus
from drivers.modbus import adu
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.model import MeterModel, parse
from drivers.modbus.registers import encode

MODELS = ("acrel-dtsd1352", "chint-dtsu666", "schneider-iem3155")


@cache
def _model(name: str) -> MeterModel:
    return parse(load_models()[name].data)


class Case:
    """A meter of a shipped model; registers that are not settled on hold what a meter might have there."""

    def __init__(self, random: Random, name: str) -> None:
        self.model, self._random = _model(name), random
        self.unit = random.randint(1, 247)
        names = [one for one in self.model.settlement if one in ("import", "export") or one.startswith("import_t")]
        self._words: dict[int, int] = {}
        self._other: dict[int, int] = {}
        self.registers = self._fill(self._words, names)
        self._fill(self._other, names)

    def meter(self, bus: Bus) -> ModbusMeter:
        wanted = frozenset(name for name in self.registers if name != "export")
        return ModbusMeter("m", self.unit, self.model, bus, wanted)

    def answer(self, request: bytes) -> bytes:
        self._put(self._words, self.registers)
        return self._reply(request, self._words)

    def rival(self, reply: bytes) -> bytes:
        """Of the same length, from another meter."""
        words = [self._other.get(address, 0) for address in sorted(self._other)][: (len(reply) - 5) // 2]
        words += [0] * ((len(reply) - 5) // 2 - len(words))
        pdu = reply[1:3] + b"".join(word.to_bytes(2, "big") for word in words)
        return adu.encode_rtu(self.unit, pdu)

    def tick(self) -> None:
        tariffs = [name for name in self.registers if name.startswith("import_t")]
        for name in ["import", *([self._random.choice(tariffs)] if tariffs else [])]:
            self.registers[name] += Decimal(1).scaleb(int(self.registers[name].as_tuple().exponent))

    def _fill(self, words: dict[int, int], names: list[str]) -> dict[str, Decimal]:
        for register in self.model.listed:
            for offset in range(register.form.words):
                words[register.address + offset] = self._random.getrandbits(16)
        scale = -2
        registers = {name: Decimal(self._random.randrange(10**6)).scaleb(scale) for name in names}
        tariffs = [registers[name] for name in names if name.startswith("import_t")]
        if tariffs:
            registers["import"] = sum(tariffs, Decimal(0))
        self._put(words, registers)
        # as the meter shows them: a float has its own digits
        return {name: self._shown(words, name) for name in names}

    def _shown(self, words: dict[int, int], name: str) -> Decimal:
        register = self.model.settlement[name]
        block = register.block
        request = adu.encode_rtu(self.unit, adu.read_request(self.model.function, block.start, block.size))
        return self.model.settlement_values([(request, self._reply(request, words))], [name])[name]

    def _put(self, words: dict[int, int], registers: dict[str, Decimal]) -> None:
        for name, value in registers.items():
            register = self.model.settlement[name]
            for offset, word in enumerate(encode(value, register.form)):
                words[register.address + offset] = word

    def _reply(self, request: bytes, words: dict[int, int]) -> bytes:
        asked = adu.RequestParser().feed(request)[0]
        return adu.reply_to(asked, [words.get(asked.address + n, 0) for n in range(asked.quantity)])


SHAPES = {name: partial(Case, name=name) for name in MODELS}

if __name__ == "__main__":
    sys.exit(3 if campaign("Modbus RTU", SHAPES) else 0)
