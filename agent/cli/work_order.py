"""What the verbs that change a park have in common: when it was done, which slot bounds it, who did it, the photo."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.cli import Failure
from agent.cli.edit_config import bound_text
from agent.cli.output import document, notice
from agent.cli.places import LOCAL_INSTANT, effective, local_text, utc_seconds
from agent.cli.words import t
from agent.ledger.inbox import WorkOrder, leave
from contract.grid import parse_utc_offset
from contract.plan import Plan
from contract.tariff import period_finder

F = TypeVar("F", bound=Callable[..., Any])


class Register(click.ParamType[Decimal]):
    """A register as it stands on the meter: digits, perhaps a point."""

    name = "kWh"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            register = value if isinstance(value, Decimal) else Decimal(str(value).strip().replace(",", ""))
        except InvalidOperation:
            self.fail(f"{value!r}: 12345.67", param, ctx)
        if not register.is_finite() or register < 0:
            self.fail(f"{value!r}: 12345.67", param, ctx)
        return register


REGISTER = Register()


def act_options(command: F) -> F:
    """`--config F --at T`, who did it, the photo that shows it."""
    options = (
        click.option("--config", "path", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True),
        click.option("--at", type=LOCAL_INSTANT, required=True, help="'2026-07-25 10:00'"),
        click.option("--who", default=None, metavar="NAME"),
        click.option("--photo", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None),
        click.option("--data", type=click.Path(path_type=Path), default=None, help="DIR"),
        click.option("--json", "as_json", is_flag=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a person on a park: the effective configuration before it, and when it was (UTC seconds)."""

    path: Path
    config: dict[str, Any]
    plan: Plan
    at_s: int
    who: str | None
    photo: Path | None
    data: Path

    @classmethod
    def of(cls, path: Path, at: datetime, who: str | None, photo: Path | None, data: Path | None) -> Act:
        """Exit 78 where the configuration is not valid."""
        config = effective(path)
        plan = Plan.from_config(config, period_finder(config))
        at_s = utc_seconds(at, plan.utc_offset_s)
        return cls(path, config, plan, at_s, who, photo, data or Path(config["private"]["data"]))

    @property
    def bound_s(self) -> int:
        """The slot from which on the change holds: the moment itself, or the next slot after it."""
        floor = self.plan.slot_floor(self.at_s)
        return floor if floor == self.at_s else floor + self.plan.interval_s

    def bound(self) -> str:
        """The bound as the configuration says it."""
        offset = self.config["settings"]["utc_offset"]
        return bound_text(self.bound_s, parse_utc_offset(offset), offset)

    def details(self, **more: str | None) -> dict[str, Any]:
        """What every event of a person says, besides its own."""
        photo = None if self.photo is None else hashlib.sha256(self.photo.read_bytes()).hexdigest()
        known = {"who": self.who, "photo_sha256": photo, "bound": self.bound(), **more}
        return {key: value for key, value in known.items() if value is not None}

    def leave(self, order: WorkOrder, as_json: bool, done: str) -> None:
        """Hands the order to the agent and says what was done."""
        try:
            path = leave(self.data, order)
        except OSError as error:
            raise Failure(f"{self.data}: {error.strerror}", 74) from error
        if self.bound_s != self.at_s:
            local = local_text(self.bound_s, self.plan.utc_offset_s)
            notice(t(f"生效于下一时刻 {local}", f"holds from the next slot, {local}"))
        if as_json:
            document({"order": str(path), "bound": self.bound(), "done": done})
        else:
            click.echo(done)
            click.echo(t("已交给采集代理;改了配置要 reload", "left for the agent; reload it if the file changed"))
