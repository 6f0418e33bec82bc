"""The border to the operating system: serial.py, tcp.py, rfc2217.py and memory.py have the same few methods.

A port hands over bytes as they come and knows nothing of frames. Whatever the system raises becomes PortGone or
PortBusy here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Settings:
    """Speed and character form of a line. `bits_per_char` counts start, data, parity and stop bits."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"  # N, E or O
    stop_bits: int = 1

    @classmethod
    def parse(cls, baud: int, framing: str) -> Settings:
        """`8E1` as people write it. Raises ValueError."""
        if len(framing) != 3 or framing[0] not in "78" or framing[1] not in "NEO" or framing[2] not in "12":
            raise ValueError(f"framing {framing!r} is not like 8N1, 8E1 or 7E1")
        return cls(baud, int(framing[0]), framing[1], int(framing[2]))

    @property
    def framing(self) -> str:
        return f"{self.data_bits}{self.parity}{self.stop_bits}"

    @property
    def bits_per_char(self) -> int:
        return 1 + self.data_bits + (self.parity != "N") + self.stop_bits

    def seconds(self, characters: float) -> float:
        """Time on the wire of so many characters."""
        return characters * self.bits_per_char / self.baud


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they arrived. `damaged`: a byte with a parity or framing error came right after `data` (dropped)."""

    data: bytes
    damaged: bool = False


class Port(Protocol):
    """One end of one bus. Used by one line only; never shared."""

    name: str

    async def open(self, settings: Settings) -> None:
        """Opens exclusively. Raises PortBusy (naming the holder) or PortGone."""
        ...

    async def configure(self, settings: Settings) -> None:
        """Changes speed and framing of the open port. Raises PortGone."""
        ...

    async def write(self, data: bytes) -> None:
        """Hands all bytes to the wire; returns when the last has left as far as the system tells. PortGone."""
        ...

    async def read(self) -> Chunk:
        """Waits for what comes next, never empty unless damaged. Raises PortGone. Safe to cancel: no byte is lost."""
        ...

    def take(self) -> Chunk | None:
        """What has come and waits, without waiting for more; None if nothing has. Raises PortGone as `read` does."""
        ...

    def discard(self) -> int:
        """Drops input that waits; returns how many bytes."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Foreseeing(Protocol):
    """A port that can save wake-ups when it is told how long an answer will be."""

    def foresee(self, count: int) -> None:
        """The answer to what is written next has so many bytes, preamble not counted; 0 if nobody knows."""
        ...
