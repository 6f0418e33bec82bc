"""`hubiao commission`: walks from meter to meter with a person, compares display, plate and clamp.

Each accepted meter is handed to the agent at once (DATA/inbox); the sheet to sign is printed at the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.check_online import line_of, port_of
from agent.cli.commission_sheet import write_sheet
from agent.cli.output import notice, styled
from agent.cli.places import at_links, effective, local_text
from agent.cli.read_faults import Asked, explain
from agent.cli.words import language, t
from agent.field.commissioning import Acceptance, Phase, Sight, hint, phases_of, ratio_of
from agent.ledger.inbox import Note, WorkOrder, leave
from agent.meters import METER_PROTOCOLS, build_meter
from contract.acceptance import ONE_SOURCE, evidence_of
from contract.grid import parse_utc_offset
from drivers.clock import Clock, RealClock
from drivers.errors import DriverError, LineError, PortGone
from drivers.exchange import Noticed
from drivers.line import Line
from drivers.meter import Meter

UNAVAILABLE, DISK = 69, 74
ATTEMPTS = 3
Ask = Callable[[str, str], str]  # question, default → answer


@dataclass(slots=True)
class Visit:
    """One walk. ask: puts a question to the person. say: tells them something. photos: where photo files lie."""

    config: dict[str, Any]
    ask: Ask
    say: Callable[[str], None]
    who: str
    photos: Path | None = None

    async def meter(self, entry: dict[str, Any], line: Line, clock: Clock) -> Acceptance | None:
        """One meter; None where the person skips it or it does not answer. Raises PortGone."""
        self.say(styled(f"\n{self._title(entry)}", bold=True))
        number = _number(entry)
        seen = Acceptance(entry["id"], number, configured_ct=entry["ct"], model=entry["model"], who=self.who)
        seen.evidence = self._evidence(entry)
        driver = build_meter(entry, self.config, line)
        try:
            seen.serial = await _serial(driver)
            seen.sights.append(await self._look(driver, entry, t("屏幕示数 kWh(s 跳过此表)", "display, kWh (s: skip)")))
            self.ask(t("接上负荷,等示数走动,回车", "put load on, wait until it moves, Enter"), "")
            seen.sights.append(await self._look(driver, entry, t("现在的屏幕示数 kWh", "display now, kWh")))
            seen.plate = self._plate(entry)
            seen.phases = await self._phases(driver, entry, seen.plate)
        except PortGone:
            raise
        except DriverError as error:
            asked = Asked(entry["protocol"], entry["id"], "", f" ({entry['baud']} {entry['framing']})")
            self.say(t(*explain(error, Noticed(), asked)))
            return None
        except _Skipped:
            return None
        self._papers(seen, entry)
        seen.at = local_text(clock.wall_ms() // 1000, parse_utc_offset(self.config["settings"]["utc_offset"]))
        for fault in seen.faults:
            self.say(styled("  ! " + t(*fault), fg="red"))
        default = "n" if seen.faults else "y"
        seen.accepted = self.ask(t("验收此表 y/n", "accept this meter y/n"), default).strip().lower().startswith("y")
        return seen

    def _title(self, entry: dict[str, Any]) -> str:
        return "  ".join(str(part) for part in (entry["id"], entry["room"], _number(entry), entry["model"]) if part)

    def _evidence(self, entry: dict[str, Any]) -> str:
        model = _model(self.config, entry)
        caution = model.get("caution")
        if caution:
            self.say(str(caution[language()]))
        evidence = evidence_of(model)
        if evidence == ONE_SOURCE:
            self.say(
                t(
                    "此型号的寄存器表只有一个来源:核对要仔细,验收之前不作结算",
                    "one source alone for these registers: compare well; nothing is settled on them until accepted",
                )
            )
        return evidence

    async def _look(self, driver: Meter, entry: dict[str, Any], question: str) -> Sight:
        """Reads, lets the person read the display, reads again."""
        before = await _total(driver)
        self.say(t(f"读到 {before:f} kWh", f"read {before:f} kWh"))
        while True:
            answer = self.ask(question, "")
            if answer.strip().lower() == "s":
                raise _Skipped
            try:
                display = Decimal(answer.strip().replace(",", ""))
            except InvalidOperation:
                continue
            if display.is_finite() and display >= 0:
                break
        sight = Sight(before, display, await _total(driver))
        self.say(t("  相符", "  agrees") if sight.agrees else t("  不符!", "  does not agree!"))
        said = hint(sight, _multiplier(self.config, entry["id"]))
        if said:
            self.say("  " + t(*said))
        return sight

    def _plate(self, entry: dict[str, Any]) -> str:
        while True:
            answer = self.ask(
                t("互感器铭牌,如 200/5;直通填 -", "CT plate, such as 200/5; - if direct"), entry["ct"] or "-"
            )
            plate = answer.strip().removeprefix("-")
            try:
                ratio_of(plate)
            except ValueError:
                continue
            return plate

    async def _phases(self, driver: Meter, entry: dict[str, Any], plate: str) -> list[Phase]:
        """Shows A and kW behind the CT, phase by phase, and asks for the clamp beside them."""
        found = {one.name: one.value for one in await _telemetry(driver) if isinstance(one.value, Decimal)}
        values = _model(self.config, entry).get("values", "secondary")
        if values == "as-set":  # a setting of the meter; the multiplier says how the configuration takes it
            values = "primary" if _multiplier(self.config, entry["id"]) == 1 else "secondary"
        times = ratio_of(plate) if values == "secondary" else Decimal(1)
        phases = []
        for phase in phases_of(found, times):
            name = phase.name.upper()
            amperes = "-" if phase.amperes is None else f"{phase.amperes:.2f} A"
            kilowatts = "-" if phase.kilowatts is None else f"{phase.kilowatts:.3f} kW"
            self.say(t(f"{name} 相 一次 {amperes}  {kilowatts}", f"phase {name} primary {amperes}  {kilowatts}"))
            clamp = self._clamp(t(f"  {name} 相钳表 A(回车不测)", f"  clamp on phase {name}, A (Enter: none)"))
            phases.append(replace(phase, clamp=clamp))
            if clamp is not None and phases[-1].deviation is not None:
                self.say(f"  {phases[-1].deviation:+.1%}")
        return phases

    def _clamp(self, question: str) -> Decimal | None:
        while True:
            answer = self.ask(question, "").strip()
            if not answer:
                return None
            try:
                value = Decimal(answer)
            except InvalidOperation:
                continue
            if value.is_finite() and value >= 0:
                return value

    def _papers(self, seen: Acceptance, entry: dict[str, Any]) -> None:
        names = self.ask(t("照片文件名,逗号分隔", "photo files, separated by commas"), "")
        seen.photos = [self._photo(name.strip()) for name in names.replace("、", ",").split(",") if name.strip()]
        seen.seal = self.ask(t("封印号", "seals"), entry["seal"] or "").strip()
        seen.certificate = self.ask(t("检定证书号", "certificate"), entry["certificate"] or "").strip()
        seen.room = self.ask(t("房号", "room"), entry["room"] or "").strip()
        seen.remarks = self.ask(t("备注", "remarks"), "").strip()

    def _photo(self, name: str) -> str:
        """Its name, with the hash of the file where it lies beside."""
        path = (self.photos or Path()) / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return name
        return f"{name} sha256:{digest}"


class _Skipped(Exception):
    """The person goes on to the next meter."""


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--meter", "wanted", multiple=True, metavar="ID", help=t("只验这块,可重复", "this one only; repeatable"))
@click.option("--who", default="", help=t("验收人", "who accepts"))
@click.option("--photos", type=click.Path(path_type=Path), help=t("照片目录", "where the photos lie"))
@click.option("--data", type=click.Path(path_type=Path), help="DIR")
@click.option("--sheet", type=click.Path(path_type=Path), help=t("验收单 .html", "the sheet to sign, .html"))
@click.option("--link-dir", type=click.Path(path_type=Path), help=t("simulate 的端口目录", "where simulate put ports"))
def commission(
    path: Path,
    wanted: tuple[str, ...],
    who: str,
    photos: Path | None,
    data: Path | None,
    sheet: Path | None,
    link_dir: Path | None,
) -> None:
    """现场验收:逐块核对示数、互感器、钳表 / site acceptance, meter by meter.

    The agent must be stopped: a line has one owner. What was accepted reaches it through its inbox when it runs again.
    """
    logging.getLogger("drivers").addHandler(logging.NullHandler())  # its faults are told below, for people
    config = effective(path)
    unknown = set(wanted) - {meter["id"] for meter in config["meters"]}
    if unknown:
        raise click.UsageError(t(f"没有电表 {', '.join(sorted(unknown))}", f"no meter {', '.join(sorted(unknown))}"))
    directory = data or Path(config["private"]["data"])
    visit = Visit(config, _prompt, click.echo, who, photos)
    done: list[Acceptance] = []
    try:
        asyncio.run(_walk(visit, wanted, link_dir, directory, done))
    finally:
        if sheet is not None and done:
            write_sheet(sheet, config, done, directory)
            notice(t(f"验收单写到 {sheet}", f"sheet written to {sheet}"))
    accepted = sum(one.accepted for one in done)
    click.echo(t(f"\n{len(done)} 块表中 {accepted} 块验收", f"\n{accepted} of {len(done)} meters accepted"))


def _prompt(question: str, default: str) -> str:
    answer: str = click.prompt(question, default=default, show_default=bool(default))
    return answer


async def _walk(
    visit: Visit, wanted: tuple[str, ...], link_dir: Path | None, directory: Path, done: list[Acceptance]
) -> None:
    clock = RealClock()
    for entry in visit.config["lines"]:
        meters = [
            meter
            for meter in visit.config["meters"]
            if meter["line"] == entry["id"]
            and meter["protocol"] in METER_PROTOCOLS
            and (not wanted or meter["id"] in wanted)
        ]
        if not meters:
            continue
        entry = at_links(entry, link_dir)
        line = line_of(visit.config, entry, port_of(entry), clock)
        try:
            await line.open()
            for meter in meters:
                seen = await visit.meter(meter, line, clock)
                if seen is not None:
                    done.append(seen)
                    hand_over(directory, seen, clock.wall_ms())
        except PortGone as gone:
            raise Failure(t(*explain(gone, Noticed(), Asked("", "", entry["port"], ""))), UNAVAILABLE) from gone
        finally:
            await line.close()


def hand_over(directory: Path, seen: Acceptance, at_ms: int) -> Path | None:
    """The `accepted` event of a meter, left for the agent; None where it was not accepted. Exit 74."""
    if not seen.accepted:
        return None
    note = Note("meter", seen.meter, "accepted", at_ms, dict(seen.details()))
    try:
        return leave(directory, WorkOrder((note,), ()))
    except OSError as error:
        raise Failure(f"{directory}: {error.strerror}", DISK) from error


def _number(entry: dict[str, Any]) -> str:
    return str(entry["address"] or f"{t('站号', 'unit')} {entry['unit']}")


async def _total(driver: Meter) -> Decimal:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return (await driver.look()).registers["import"]
        except LineError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt answers or raises")


async def _serial(driver: Meter) -> str:
    try:
        return await driver.serial() or ""
    except PortGone:
        raise
    except DriverError:
        return ""


async def _telemetry(driver: Meter) -> list[Any]:
    for _ in range(ATTEMPTS):
        try:
            return list(await driver.telemetry())
        except PortGone:
            raise
        except DriverError:
            continue
    return []


def _model(config: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    return next((dict(one["data"]) for one in config["models"] if one["id"] == entry["model"]), {})


def _multiplier(config: dict[str, Any], meter: str) -> Decimal:
    seats = [seat for point in config["points"] for seat in point["meters"] if seat["meter"] == meter]
    return Decimal(seats[-1]["multiplier"]) if seats else Decimal(1)
