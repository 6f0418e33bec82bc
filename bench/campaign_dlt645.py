"""`python -m bench.campaign_dlt645 --count N --seed S`: corrupted DL/T 645 answers, none of which may bill.

Three shapes of meter, in equal parts: 2007 with a tariff block, 2007 without blocks, 1997 with a tariff block.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from random import Random

from bench.corrupted import campaign
from drivers.dlt645.formats import bcd
from drivers.dlt645.frame import FROM_METER, Frame, decode, encode
from drivers.dlt645.meter import Dlt645Meter
from drivers.meter import Bus

TARIFFS = 4
COUNT = Decimal("0.01")


class Case:
    """A meter of one edition; total and tariffs as DL/T 645 has them."""

    def __init__(self, random: Random, edition: str, *, blocks: bool) -> None:
        self.edition, self.blocks, self._random = edition, blocks, random
        self.address = f"{random.randrange(10**12):012d}"
        self.registers = _registers(random, [random.randrange(10 ** random.randint(3, 7)) for _ in range(TARIFFS)])
        self._other = _registers(random, [random.randrange(10**7) for _ in range(TARIFFS)])

    def meter(self, bus: Bus) -> Dlt645Meter:
        return Dlt645Meter("m", self.address, self.edition, bus, frozenset({"import"}), {"blocks": self.blocks})

    def answer(self, request: bytes) -> bytes:
        frame = decode(request)
        return self._reply(frame.control | FROM_METER, frame.data, self.registers)

    def rival(self, reply: bytes) -> bytes:
        frame = decode(reply)
        return self._reply(frame.control, frame.data[: 2 if self.edition == "1997" else 4], self._other)

    def tick(self) -> None:
        tariff = f"import_t{self._random.randint(1, TARIFFS)}"
        for name in ("import", tariff):
            self.registers[name] += COUNT

    def _reply(self, control: int, di: bytes, registers: dict[str, Decimal]) -> bytes:
        is_block = di in (b"\x00\xff\x01\x00", b"\x1f\x90")
        values = registers.values() if is_block else [registers["import"]]
        return encode(Frame(self.address, control, di + b"".join(bcd(value, 8, 2) for value in values)))


def _registers(random: Random, counts: list[int]) -> dict[str, Decimal]:
    """Total first; it exceeds the sum of its tariffs by what they have cut off."""
    tariffs = {f"import_t{n}": Decimal(count).scaleb(-2) for n, count in enumerate(counts, 1)}
    cut = Decimal(random.randrange(TARIFFS)).scaleb(-2)
    return {"import": sum(tariffs.values(), Decimal(0)) + cut} | tariffs


def block_2007(random: Random) -> Case:
    return Case(random, "2007", blocks=True)


def single_2007(random: Random) -> Case:
    return Case(random, "2007", blocks=False)


def block_1997(random: Random) -> Case:
    return Case(random, "1997", blocks=True)


SHAPES = {"2007 block": block_2007, "2007 single": single_2007, "1997 block": block_1997}

if __name__ == "__main__":
    sys.exit(3 if campaign("DL/T 645", SHAPES) else 0)
