"""A store read as what it means: configuration in force, values at slots, derived records. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from agent.store import Epoch, Reader
from contract.plan import Plan
from contract.records import Body, Config, Head, Reading, decode, parse_slot
from contract.tariff import period_finder


class History:
    """The newest epoch of a store. Raises LookupError when it holds no configuration yet."""

    def __init__(self, reader: Reader) -> None:
        if not reader.epochs:
            raise LookupError("the store is empty")
        self.reader = reader
        self.epoch: Epoch = reader.epochs[-1]
        self.config = self._newest_config()
        self.plan = Plan.from_config(self.config, period_finder(self.config))

    def bodies(self, since_s: int = 0) -> Iterator[tuple[Head, Body]]:
        """Records committed from an instant (UTC seconds) on, in order."""
        for _, record, _ in self.reader.records(self.epoch, self.reader.first_since(self.epoch, since_s * 1000)):
            if record is not None:
                yield decode(record)

    def readings(self, from_s: int, to_s: int) -> dict[str, dict[int, Reading]]:
        """Latest revision of every meter's reading at slots in [from_s, to_s]: meter → slot → reading."""
        found: dict[str, dict[int, Reading]] = {}
        for _, body in self.bodies(from_s):
            if isinstance(body, Reading) and body.slot is not None and from_s <= parse_slot(body.slot) <= to_s:
                found.setdefault(body.meter, {})[parse_slot(body.slot)] = body
        return found

    def _newest_config(self) -> dict[str, Any]:
        newest: Config | None = None
        for _, record, _ in self.reader.records(self.epoch):
            if record is not None and b'"kind":"config"' in record:
                body = decode(record)[1]
                if isinstance(body, Config):
                    newest = body
        if newest is None:
            raise LookupError("the store holds no configuration yet")
        return asdict(newest)
