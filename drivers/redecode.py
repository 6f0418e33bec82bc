"""Registers once more from the frames that a reading kept: what an auditor compares with what was recorded (no I/O).

Takes the plain JSON of `config` and `reading` records, and only the pure codecs. What a meter kept (freezes, load
records) is looked up by the source's `meter_clock`, the date that it bears. Says nothing about manual readings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from drivers.dlt645.frame import decode
from drivers.dlt645.identifiers import decode_1997, decode_2007
from drivers.dlt645.kept import frozen, recorded
from drivers.errors import DriverError
from drivers.modbus.model import MeterModel, parse

FREEZE, LOAD_RECORD = 0x05, 0x06  # DI3 of what the meter kept, not what it showed when asked
FOLLOW = 0x12  # the function that asks for the rest of an answer, which has a SEQ at its end
KEPT = frozenset({"freeze", "load_profile"})
_RTU_REQUEST_BYTES = 8
_Frames = list[tuple[bytes, bytes]]  # request, reply


class Redecoder:
    """Called with config record, reading record and one of its sources; keeps what the configuration says of meters."""

    def __init__(self) -> None:
        self._config: Mapping[str, Any] | None = None
        self._meters: dict[str, Mapping[str, Any]] = {}
        self._models: dict[str, Mapping[str, Any]] = {}
        self._parsed: dict[str, MeterModel] = {}

    def __call__(
        self, config: Mapping[str, Any], reading: Mapping[str, Any], source: Mapping[str, Any]
    ) -> dict[str, Decimal] | None:
        """The registers that the source's exchanges hold, in kWh and kvarh; {} if the frames do not fit the meter.

        None where that says nothing: read by a person, a meter that the configuration does not know, a freeze of
        which the source keeps the first part only.
        """
        if config is not self._config:
            self._config, self._parsed = config, {}
            self._meters = {meter["id"]: meter for meter in config["meters"]}
            self._models = {model["id"]: model["data"] for model in config["models"]}
        meter = self._meters.get(reading["meter"])
        if meter is None or meter["protocol"] == "manual" or reading["method"] == "manual":
            return None
        try:
            frames = [(bytes.fromhex(part["request"]), bytes.fromhex(part["reply"])) for part in source["exchanges"]]
            if meter["protocol"] == "modbus":
                return self._of_modbus(meter, frames, source["registers"])
            return self._of_dlt645(meter, frames, reading["method"], source.get("meter_clock"))
        except (DriverError, ValueError):
            return {}

    def _of_dlt645(
        self, meter: Mapping[str, Any], frames: _Frames, method: str, meter_clock: str | None
    ) -> dict[str, Decimal] | None:
        """Replies of this address to requests for the same item. May raise as above."""
        old = meter["protocol"] == "dlt645-1997"
        items = self._models.get(meter["model"], {}).get("items") or {}
        size = 2 if old else 4
        found: dict[str, Decimal] = {}
        records, kept = b"", method not in KEPT
        for sent, received in frames:
            request, reply = decode(sent), decode(received)
            item = request.data[:size]
            if reply.address != meter["address"] or not reply.is_reply or reply.is_error or reply.data[:size] != item:
                raise ValueError("not a reply to this request")
            di, data = item[::-1].hex().upper(), reply.data[size:]
            if old or not _is_kept(item):
                values = decode_1997(di, data, items) if old else decode_2007(di, data)
                found |= {value.name: value.value for value in values if isinstance(value.value, Decimal)}
                continue
            kept = True
            if item[-1] == LOAD_RECORD:
                records += data[:-1] if request.function == FOLLOW else data
            elif reply.more_follows:
                return None
            else:
                at, registers = frozen(decode_2007(di, data))
                if at is not None and f"{at}:00" != meter_clock:
                    raise ValueError(f"kept at {at}")
                found |= registers
        if not kept:
            raise ValueError(f"no {method} among what was asked")
        if records:
            found |= recorded(records).get(str(meter_clock)[: len("YYYY-MM-DD hh:mm")], {})
        return found

    def _of_modbus(self, meter: Mapping[str, Any], frames: _Frames, names: Collection[str]) -> dict[str, Decimal]:
        """Replies of this unit. Raises ValueError, DriverError."""
        model = self._parsed.get(meter["model"])
        if model is None:
            model = self._parsed[meter["model"]] = parse(self._models.get(meter["model"], {}))
        values = model.settlement_values(frames, list(names))
        for request, _ in frames:
            if request[0 if len(request) == _RTU_REQUEST_BYTES else 6] != int(meter["unit"]):
                raise ValueError("not a request to this unit")
        return values


def _is_kept(item: bytes) -> bool:
    """Whether an item of the 2007 edition, low byte first, is a freeze, a load record or of a settlement day."""
    return item[-1] in (FREEZE, LOAD_RECORD) or (item[-1] == 0 and item[0] > 0)
