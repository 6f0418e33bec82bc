"""`hubiao tariff`: which tariff period an instant is in, by the schedules that are shipped.

An instant is UTC with `Z`, or has an offset, or is park-local time (+08:00) without one; it comes back as it was given.
A schedule is never applied outside its validity: there the period is `unclassified` and the schedule null. A bad
instant, an unknown schedule and schedules valid on the same day are wrong usage (2); a damaged file is 78.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path

import click

from agent.cli import Failure
from agent.cli.output import document, notice, table
from agent.cli.site_files import site_library
from agent.cli.words import t
from contract.schedule import Holidays, Schedule
from contract.tariff import Tariff

LOCAL_OFFSET_S = 8 * 3600  # all of China, all year
PERIOD_WORDS = {
    "sharp": "尖峰",
    "peak": "高峰",
    "flat": "平段",
    "valley": "低谷",
    "deep_valley": "深谷",
    "unclassified": "无适用方案",
    "unclassified_holiday": "节假日未定",
}

_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d(?:\.\d{1,9})?))?)?\s?(Z|z|[+-]\d\d:\d\d)?", flags=re.ASCII
)


@click.command(short_help="which tariff period an instant is in")
@click.option("--schedule", "names", multiple=True, required=True, metavar="ID", help="zj-2026 …")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=None,
    help=t("用该配置的 site_files", "with the site_files of this configuration"),
)
@click.option("--json", "as_json", is_flag=True, help='[{"instant","schedule","period"}]')
@click.argument("instants", nargs=-1, required=True, metavar="INSTANT…")
def tariff(names: tuple[str, ...], config: Path | None, as_json: bool, instants: tuple[str, ...]) -> None:
    """查询时刻所属的峰谷时段 / the tariff period of each instant (2026-07-25T10:00:00Z, '2026-07-25 18:00')."""
    faults = []
    seconds = []
    for text in instants:
        try:
            seconds.append(parse_moment(text))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise Failure("\n".join(faults), 2)
    rule = _rule(names, config)
    rows = [(text, *rule.classify(moment)) for text, moment in zip(instants, seconds, strict=True)]
    if as_json:
        document([{"instant": text, "schedule": schedule or None, "period": period} for text, period, schedule in rows])
        return
    head = (t("时刻", "instant"), t("方案", "schedule"), t("时段", "period"))
    table(head, [(text, schedule, t(PERIOD_WORDS[period], period)) for text, period, schedule in rows])
    if any(period == "unclassified_holiday" for _, period, _ in rows):
        notice(t("该年度没有节假日表", "there is no holiday list for that year"))


def parse_moment(text: str, local_offset_s: int = LOCAL_OFFSET_S) -> int:
    """Seconds since 1970 of an instant that a person typed; a fraction is cut off. `24:00` is the day's end.

    Raises ValueError with a text for people.
    """
    match = _INSTANT.fullmatch(text.strip())
    wrong = t(
        f"{text!r} 不是时刻，例如 2026-07-25T10:00:00Z 或 '2026-07-25 18:00'",
        f"{text!r} is no instant like 2026-07-25T10:00:00Z or '2026-07-25 18:00'",
    )
    if match is None:
        raise ValueError(wrong)
    day, clock, second, zone = match.groups()
    whole = 0
    if clock == "24:00" and not (second or "").strip("0."):
        clock, whole = "00:00", 1
    offset: tzinfo = timezone(timedelta(seconds=local_offset_s))
    try:
        if zone:
            offset = UTC if zone in "Zz" else datetime.fromisoformat(f"2000-01-01T00:00{zone}").tzinfo or UTC
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}:{(second or '00')[:2]}").replace(tzinfo=offset)
        return int((moment + timedelta(days=whole)).timestamp())
    except (ValueError, OverflowError) as error:
        raise ValueError(wrong) from error


def _rule(names: tuple[str, ...], config: Path | None) -> Tariff:
    found = site_library(config)
    files, lists = found.schedules, found.holidays
    unknown = [name for name in names if name not in files]
    if unknown:
        shipped = " ".join(files)
        raise Failure(
            t(
                f"没有分时方案 {', '.join(unknown)}；现有：{shipped}",
                f"no schedule {', '.join(unknown)}; there are: {shipped}",
            ),
            2,
        )
    chosen = [Schedule.parse(files[name].data) for name in dict.fromkeys(names)]
    try:
        return Tariff(chosen, Holidays.parse(*(item.data for item in lists.values())), LOCAL_OFFSET_S)
    except ValueError as error:
        raise Failure(t(f"分时方案有效期重叠：{error}", str(error)), 2) from error
