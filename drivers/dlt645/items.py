"""The form of the identifier tables: an item is one field of a reply, an identifier what a DI stands for (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.dlt645.formats import Format


@dataclass(frozen=True, slots=True)
class Item:
    """One field. name: of drivers.quantities where it has one; unit: as printed, "" for none."""

    name: str
    format: Format
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Identifier:
    """What a DI means.

    items: its fields in wire order. block: a meter may send fewer (total and its k tariffs, as many zones as it has),
    whole registers of `stride` items each (a demand and its time are two). other: a second layout seen on meters,
    for data of another length. groups: parts that are blocks themselves, such as a whole freeze; then items is empty.
    """

    zh: str
    en: str
    items: tuple[Item, ...]
    block: bool = False
    stride: int = 1
    other: Identifier | None = None
    groups: tuple[Identifier, ...] = ()

    @property
    def length(self) -> int:
        """Bytes of data when complete; of a block with every register it could have."""
        return sum(item.format.length for item in self.items) + sum(group.length for group in self.groups)

    @property
    def register_length(self) -> int:
        """Bytes of one register of a block."""
        return sum(item.format.length for item in self.items[: self.stride])

    def layout(self, length: int) -> tuple[Item, ...] | None:
        """The items in so many bytes of data, None if no layout has that length."""
        if self.items and length == self.length:
            return self.items
        if self.block:
            registers, rest = divmod(length, self.register_length)
            if registers and not rest and registers * self.stride <= len(self.items):
                return self.items[: registers * self.stride]
        return self.other.layout(length) if self.other else None
