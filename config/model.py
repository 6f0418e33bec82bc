"""The keys of the configuration (contract §2) as pydantic models: which there are, which form each has.

Every value arrives as text and is read by a function of `scalars.py`; what keys mean together is checked in
`crosscheck.py`. Imported only by the loading child and by whatever is short-lived itself: pydantic costs 14 MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from config import scalars
from config.faults import Wrong

ROLES = ("tenant", "operator", "public", "master", "pv", "storage")
PROTOCOLS = ("dlt645-2007", "dlt645-1997", "modbus", "manual")
DLT645 = ("dlt645-2007", "dlt645-1997")


@dataclass(frozen=True)
class Form:
    """How the text of a value is read, and what an editor is told about it.

    YAML editors type plain scalars (`8E1` is a float to them), so the schema admits numbers where text looks like one.
    """

    read: Callable[[str], Any]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)

    def _validate(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise Wrong("这里要一个值,不是列表或映射", "takes one value, not a list or a mapping")
        return self.read(value)


def _like(*types: str, **more: Any) -> dict[str, Any]:
    return {"type": list(types) if len(types) > 1 else types[0], **more}


_DIGITS = ("string", "integer", "number")
TEXT = Form(scalars.text, _like(*_DIGITS))
PRINTED = Form(scalars.printed_number, _like(*_DIGITS))
IDENTIFIER = Form(scalars.identifier, _like(*_DIGITS, pattern=f"^{scalars.ID}$"))
NUMBER = Form(scalars.decimal, _like("number", "string", exclusiveMinimum=0))
SHARE = Form(scalars.share, _like("number", "string", exclusiveMinimum=0, maximum=1))
BOOLEAN = Form(scalars.boolean, {"type": ["boolean", "string"], "enum": [True, False, "yes", "no", "on", "off"]})
DATE = Form(scalars.calendar_date, _like("string", pattern=r"^\d{4}-\d\d-\d\d$"))
MOMENT = Form(scalars.moment)
FILE = Form(scalars.file_name)
BAUD = Form(scalars.baud, _like("integer", enum=list(scalars.BAUDS)))
FRAMING = Form(scalars.framing, _like("string", "number", pattern="^[78][NEOneo][12]$"))
RATIO = Form(scalars.ratio, _like("string", pattern=r"^[0-9.]+\s*/\s*[0-9.]+$"))


def _whole(low: int, high: int) -> Form:
    return Form(scalars.integer(low, high), _like("integer", minimum=low, maximum=high))


def _one_of(*words: str) -> Form:
    return Form(scalars.choice(*words), _like("string", enum=list(words)))


class Section(BaseModel):
    """Unknown keys are errors; a key without a value counts as absent."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = {info.alias or name for name, info in cls.model_fields.items()}
        return {key: value for key, value in data.items() if value is not None or key not in known}


class Park(Section):
    id: Annotated[str, IDENTIFIER]
    """The park in topics and records."""
    name: Annotated[str | None, TEXT] = None
    """For people; stays in this file."""
    utc_offset: Annotated[str, Form(scalars.utc_offset)] = "+08:00"
    """Park-local time against UTC."""
    schedules: list[Annotated[str, IDENTIFIER]] = []
    """Tariff schedules; the one valid on a local date applies."""
    interval: Annotated[str, Form(scalars.interval, _like("string", pattern=r"^\d+\s*(s|sec|m|min|h)$"))] = "15min"
    """Length of a slot: a divisor of a day from 1s to 1h."""
    closings: list[Annotated[str, Form(scalars.closing, _like("string", pattern=r"^\d{1,2} \d{1,2}:\d\d$"))]] = [
        "01 00:00"
    ]
    """Ends of billing periods: day of month and park-local time."""


class Gateway(Section):
    id: Annotated[str, IDENTIFIER]
    """This gateway in topics and records."""
    data: Annotated[str, FILE] = "/var/lib/hubiao"
    """Directory of the store and the signing key."""
    clock: Annotated[str, _one_of("kernel", "trusted")] = "kernel"
    """kernel: trust the kernel's sync flag; trusted: the site vouches for the host's clock."""


class Mqtt(Section):
    url: Annotated[str, Form(scalars.broker, _like("string", pattern="^(mqtt|ws)s?://"))]
    """mqtts://host:port, or wss://host:port/path: compressed where the broker agrees, path /mqtt unless given;
    mqtt:// and ws:// only to loopback unless insecure."""
    username: Annotated[str | None, TEXT] = None
    password_file: Annotated[str | None, FILE] = None
    """File that holds the password; there is no key for the password itself."""
    ca_file: Annotated[str | None, FILE] = None
    cert_file: Annotated[str | None, FILE] = None
    """Client certificate for mutual TLS, with key_file."""
    key_file: Annotated[str | None, FILE] = None
    metered: Annotated[bool, BOOLEAN] = False
    """The uplink costs by volume (4G): no live values, backlog paced."""
    insecure: Annotated[bool, BOOLEAN] = False
    """Allows mqtt:// and ws:// beyond loopback."""
    auditors: list[Annotated[str, Form(scalars.verifier_key, _like("string", pattern=r"^[^+\s]+\+[0-9a-f]{8}\+"))]] = []
    """C2SP verifier keys whose receipts a record must have to count as delivered."""


class Web(Section):
    listen: Annotated[str, Form(scalars.listening, _like("string", pattern=r"^.+:\d+$"))] = "127.0.0.1:8080"
    """Address and port of the status page; beyond loopback only with password_file or token_file."""
    password_file: Annotated[str | None, FILE] = None
    """File that holds the password for people, or its scrypt hash."""
    token_file: Annotated[str | None, FILE] = None
    """File that holds a token for programs (Authorization: Bearer)."""


class Line(Section):
    id: Annotated[str, IDENTIFIER]
    port: Annotated[str, Form(scalars.port)]
    """/dev/…, socket://host:port, tcp://host:port (Modbus TCP) or rfc2217://host:port."""
    baud: Annotated[int | None, BAUD] = None
    """Default 2400 on a line of DL/T 645 meters alone, else 9600."""
    framing: Annotated[str | None, FRAMING] = None
    """Data bits, parity, stop bits; default 8E1 on a line of DL/T 645 meters alone, else 8N1."""
    direction: Annotated[str, _one_of("auto", "kernel", "rts")] = "auto"
    """Who switches RS-485 direction: the adapter, the kernel's RS-485 mode, or software by RTS."""
    echo: Annotated[bool, BOOLEAN] = False
    """The adapter hears its own bytes."""
    broadcasts: list[Annotated[str, _one_of("time", "freeze")]] = []
    """What `hubiao broadcast` may send here when a person asks: `time`, `freeze`; nothing if absent."""


class Meter(Section):
    id: Annotated[str, IDENTIFIER]
    line: Annotated[str | None, IDENTIFIER] = None
    protocol: Annotated[str, _one_of(*PROTOCOLS)]
    address: Annotated[str | None, Form(scalars.address, _like(*_DIGITS, pattern="^[0-9]{1,12}$"))] = None
    """DL/T 645 address, 12 digits."""
    unit: Annotated[int | None, _whole(1, 247)] = None
    """Modbus unit."""
    model: Annotated[str | None, IDENTIFIER] = None
    """Meter model; needed for Modbus."""
    baud: Annotated[int | None, BAUD] = None
    """Where it differs from its line's."""
    framing: Annotated[str | None, FRAMING] = None
    """Where it differs from its line's."""
    tenant: Annotated[str | None, IDENTIFIER] = None
    """Short form: this tenant holds the meter's point, always and whole."""
    role: Annotated[str | None, _one_of(*ROLES)] = None
    """Short form: role of the meter's point, tenant if absent."""
    multiplier: Annotated[str | None, NUMBER] = None
    """Turns the register as the meter sends it into kWh; 1 if absent."""
    ct: Annotated[str | None, RATIO] = None
    """Current transformers, primary/secondary."""
    pt: Annotated[str | None, RATIO] = None
    """Voltage transformers, primary/secondary."""
    serial: Annotated[str | None, PRINTED] = None
    """As on the nameplate; another one read from the meter is an event."""
    digits: Annotated[int | None, _whole(3, 12)] = None
    """Digits before the decimal point: where the register rolls over."""
    max_a: Annotated[str | None, NUMBER] = None
    """Largest current in A: what the connection can carry."""
    phases: Annotated[int | None, Form(scalars.integer(1, 3), _like("integer", enum=[1, 2, 3]))] = None
    class_: Annotated[str | None, TEXT] = Field(None, alias="class")
    """Accuracy class."""
    certificate: Annotated[str | None, PRINTED] = None
    verified_until: Annotated[str | None, DATE] = None
    seal: Annotated[str | None, PRINTED] = None
    accepted: Annotated[str | None, DATE] = None
    """The site vouches that register and display were compared on this day: it is settled on a one-source model too."""
    room: Annotated[str | None, TEXT] = None


class PointMeter(Section):
    meter: Annotated[str, IDENTIFIER]
    from_: Annotated[str | None, MOMENT] = Field(None, alias="from")
    """First instant, on a slot; absent: from the beginning."""
    to: Annotated[str | None, MOMENT] = None
    """Instant after the last; absent: until the next entry begins."""
    multiplier: Annotated[str | None, NUMBER] = None
    """From then on; the meter's own if absent."""


class Point(Section):
    id: Annotated[str, IDENTIFIER]
    role: Annotated[str | None, _one_of(*ROLES)] = None
    parent: Annotated[str | None, IDENTIFIER] = None
    """The point that this one is behind, whose energy contains this one's."""
    register_: Annotated[str, _one_of("import", "export")] = Field("import", alias="register")
    """export for PV feeds and storage discharge."""
    account: Annotated[str | None, PRINTED] = None
    """Grid account it is billed under."""
    schedule: Annotated[str | None, IDENTIFIER] = None
    """Tariff schedule of its own."""
    meters: list[PointMeter] | None = None
    """Which meter measured it when; absent: the meter with the point's id, always."""


class Tenancy(Section):
    point: Annotated[str, IDENTIFIER]
    tenant: Annotated[str, IDENTIFIER]
    from_: Annotated[str | None, MOMENT] = Field(None, alias="from")
    to: Annotated[str | None, MOMENT] = None
    share: Annotated[str, SHARE] = "1"
    """Part of the point's energy; shares at an instant add up to at most 1."""


class Tenant(Section):
    id: Annotated[str, IDENTIFIER]
    """A pseudonym: it appears in topics and records."""
    name: Annotated[str | None, TEXT] = None
    """Stays in this file."""
    declared_kw: Annotated[str | None, NUMBER] = None
    own_circuit: Annotated[bool | None, BOOLEAN] = None


class Site(Section):
    """The configuration of one gateway."""

    park: Park
    gateway: Gateway
    mqtt: Mqtt | None = None
    web: Web | None = None
    lines: list[Line] = []
    meters: list[Meter] = []
    meters_file: Annotated[str | None, FILE] = None
    """Table of meters, .csv or .xlsx, beside or instead of `meters`."""
    site_files: Annotated[str | None, FILE] = None
    """Directory of the site's own meter models (`meters/`), tariff schedules and holiday lists (`schedules/`)."""
    points: list[Point] = []
    tenancies: list[Tenancy] = []
    tenants: list[Tenant] = []
