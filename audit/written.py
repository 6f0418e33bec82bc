"""Values as people write them: amounts, percentages, dates, spans of days, meter addresses, yes and no (pure).

    1,234.50元   ￥12   （3.00）   －3   13%   2026年7月25日   2026.6.25-2026.7.25   2026年7月

Everything that is not surely one value raises ValueError: an auditor would rather be asked than guessed for.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, timedelta
from fractions import Fraction

from audit.amounts import parse_decimal
from audit.spreadsheet import ERRORS, NEVER_COMPUTED

Days = tuple[date, date]  # first day, day after the last one

ADDRESS_DIGITS = 12
_EMPTY = ("", "-", "--", "—", "——", "/", "无", "空")
_UNITS = r"(元/kwh|元/千瓦时|元/度|元|kwh|千瓦时|度|kva|kw|倍)"
_YES = ("是", "含", "含税", "yes", "true", "y", "1", "√", "incl")
_NO = ("否", "不含", "不含税", "no", "false", "n", "0", "excl")
_DATE = re.compile(r"(\d{4})(?:[-/.年])(\d{1,2})(?:[-/.月])(\d{1,2})日?(?:[ t]\d{1,2}:\d\d(?::\d\d)?)?")
_MONTH = re.compile(r"(\d{4})(?:[-/.年])(\d{1,2})月?份?")


def parse_written(text: str) -> Fraction | None:
    """A number; None where the cell says that there is none. `13%` is 0.13. Raises ValueError."""
    if text.upper() in ERRORS:
        raise ValueError(f"{text} is an error of the spreadsheet")
    if text == NEVER_COMPUTED:
        raise ValueError("a formula whose value was never saved: open the file in a spreadsheet program and save it")
    plain = re.sub(r"[¥\s']|rmb|人民币", "", unicodedata.normalize("NFKC", text).casefold().replace("−", "-"))
    if plain in _EMPTY:
        return None
    plain = re.sub(_UNITS + "$", "", plain)
    if match := re.fullmatch(r"\((.*)\)", plain):
        plain = "-" + match[1]
    scale = Fraction(1)
    if plain.endswith("%"):
        plain, scale = plain[:-1], Fraction(1, 100)
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", plain):
        plain = plain.replace(",", "")
    elif re.fullmatch(r"[-+]?\.\d+|\d+\.", plain):
        plain = plain.strip("+").replace("-.", "-0.")
        plain = f"0{plain}" if plain.startswith(".") else plain.rstrip(".")
    try:
        return parse_decimal(plain) * scale
    except ValueError as error:
        raise ValueError(f"{text!r} is no number") from error


def parse_rate(text: str) -> Fraction | None:
    """A tax rate as a fraction: `13%`, `0.13` and `13` are the same. Raises ValueError."""
    rate = parse_written(text)
    if rate is not None and rate >= 1:
        rate /= 100
    if rate is not None and not 0 <= rate < 1:
        raise ValueError(f"{text!r} is no tax rate")
    return rate


def parse_date(text: str) -> date:
    """A day with its year. Raises ValueError, also for a day that no calendar has."""
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    match = _DATE.fullmatch(plain) or re.fullmatch(r"(\d{4})(\d\d)(\d\d)", plain)
    if match is None:
        raise ValueError(f"{text!r} is no date with a year")
    try:
        return date(*map(int, match.groups()))
    except ValueError as error:
        raise ValueError(f"{text!r} is no date: {error}") from error


def parse_span(text: str) -> Days:
    """A month, or two dates with a dash or 至 between. Raises ValueError."""
    plain = re.sub(r"\s", "", unicodedata.normalize("NFKC", text)).casefold()
    month = _MONTH.fullmatch(plain) or re.fullmatch(r"(\d{4})(\d\d)", plain)
    if month is not None:
        return month_span(int(month[1]), int(month[2]))
    first = _DATE.match(plain)
    if first is None:
        raise ValueError(f"{text!r} is neither a month nor two dates")
    rest = plain[first.end() :]
    if not re.match(r"[-~至到—–]", rest):
        raise ValueError(f"{text!r} is neither a month nor two dates")
    rest = rest.lstrip("-~至到—–")
    if re.fullmatch(r"\d{1,2}[-/.月]\d{1,2}日?", rest):
        rest = f"{first[1]}年{rest}"
    return whole_months(parse_date(first[0]), parse_date(rest))


def find_span(text: str) -> Days | None:
    """The one span of days that a title names, if it names one."""
    plain = re.sub(r"\s", "", unicodedata.normalize("NFKC", text))
    dates = r"\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?"
    for pattern in (rf"{dates}[-~至到—–]+(?:{dates}|\d{{1,2}}[-/.月]\d{{1,2}}日?)", r"\d{4}年\d{1,2}月(?:份)?(?!\d)"):
        found = re.findall(pattern, plain)
        if len(set(found)) == 1:
            return parse_span(found[0])
    return None


def month_span(year: int, month: int) -> Days:
    """A calendar month. Raises ValueError."""
    first = date(year, month, 1)
    return first, (first.replace(day=28) + timedelta(days=4)).replace(day=1)


def whole_months(first: date, last: date) -> Days:
    """`to` as the day after: people write the first and last day of a month, but reading days as they follow."""
    if last < first:
        raise ValueError(f"{last} is before {first}")
    after = last + timedelta(days=1)
    return (first, after) if first.day == 1 and after.day == 1 else (first, last)


def parse_flag(text: str) -> bool:
    """Yes or no. Raises ValueError."""
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    if plain in _YES:
        return True
    if plain in _NO:
        return False
    raise ValueError(f"{text!r} is neither 是 nor 否")


def parse_address(text: str) -> str:
    """12 digits of a meter, short ones with their zeros put back. Raises ValueError for what a spreadsheet damaged."""
    plain = unicodedata.normalize("NFKC", text).strip().strip("'")
    if re.fullmatch(r"\d(\.\d+)?[eE]\+?\d+", plain):
        raise ValueError(f"{text!r} was damaged by a spreadsheet: its last digits are gone; format the column as text")
    plain = re.sub(r"\.0$", "", plain)
    if not re.fullmatch(rf"\d{{1,{ADDRESS_DIGITS}}}", plain):
        raise ValueError(f"{text!r} is no meter address of up to {ADDRESS_DIGITS} digits")
    return plain.zfill(ADDRESS_DIGITS)
