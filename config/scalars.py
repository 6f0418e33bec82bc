"""What a piece of configuration text means: one function a form, each raising Wrong with zh and en. No I/O.

The functions get the text as a person wrote it and give the value as the effective configuration holds it. They know
no other key; what only makes sense together is checked in `crosscheck.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

from config.faults import Wrong, suggestion
from contract.note import COSIGNATURE, NoteError, parse_verifier_key

ID = r"[a-z0-9][a-z0-9._-]{0,62}"
BAUDS = (300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 76800, 115200)
DAY_S = 86_400
BROADCASTS = ("999999999999", "A" * 12)
SPREADSHEET_NUMBER = re.compile(r"\d+(\.\d*)?[eE]\+?\d+")


def text(value: str) -> str:
    """Any text that fits on a line."""
    value = value.strip()
    if not value or len(value) > 255 or any(ord(c) < 32 for c in value):
        raise Wrong("要一行文字,最多 255 字", "one line of text, at most 255 characters")
    return value


def printed_number(value: str) -> str:
    """A serial, account or certificate as printed: text, but not what a spreadsheet left of a long number."""
    refuse_spreadsheet_number(value)
    return text(value)


def refuse_spreadsheet_number(value: str) -> None:
    if SPREADSHEET_NUMBER.fullmatch(value.strip()):
        raise Wrong(
            f"{value} 是电子表格把长数字变成的科学计数,位数已丢失;请把该列设为文本后重新填写",
            f"{value} is what a spreadsheet makes of a long number, digits are lost; format the column as text, "
            "enter it again",
        )


def identifier(value: str) -> str:
    if not re.fullmatch(ID, value):
        raise Wrong(
            f"{value!r} 不能作编号:用小写字母、数字和 . _ -,首字符为字母或数字,最多 63 个",
            f"{value!r} is no id: lower-case letters, digits and . _ -, first a letter or digit, at most 63",
        )
    return value


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise Wrong(f"{value!r} 不是 {low}–{high} 的整数", f"{value!r} is not a whole number from {low} to {high}")
        return int(value)

    return parse


def decimal(value: str, *, above: int = 0, most: int = 10**9) -> str:
    """A positive number in plain notation, without superfluous zeros."""
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", value) or not above < Decimal(value) <= most:
        raise Wrong(
            f"{value!r} 不是大于 {above}、不超过 {most} 的数",
            f"{value!r} is not a number above {above} and at most {most}",
        )
    return plain(Decimal(value))


def share(value: str) -> str:
    return decimal(value, most=1)


def plain(number: Decimal) -> str:
    """`40` of 40.00, `0.375` of 0.3750: no exponent, no zeros at the end."""
    written = format(number, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def boolean(value: str) -> bool:
    if value.lower() in ("true", "yes", "on"):
        return True
    if value.lower() in ("false", "no", "off"):
        return False
    raise Wrong(f"{value!r} 不是 true 或 false", f"{value!r} is neither true nor false")


def choice(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            zh, en = suggestion(value, words)
            listed = " ".join(words)
            raise Wrong(f"{value!r} 不在 {listed} 之中{zh}", f"{value!r} is none of {listed}{en}")
        return value

    return parse


def utc_offset(value: str) -> str:
    match = re.fullmatch(r"([+-])(\d\d):([0-5]\d)", value)
    if not match or int(match[2]) > 14:
        raise Wrong(f'{value!r} 不是 "+08:00" 这样的时差', f'{value!r} is no offset like "+08:00"')
    return value


def zone(offset: str) -> timezone:
    """The fixed zone of `+08:00`."""
    delta = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6]))
    return timezone(-delta if offset[0] == "-" else delta)


def interval(value: str) -> str:
    """`15min`; also `900s`, `1h`. The text in its shortest form."""
    match = re.fullmatch(r"(\d{1,5})\s*(s|sec|min|m|h)", value)
    if not match:
        raise Wrong(f"{value!r} 不是 15min、30s、1h 这样的时长", f"{value!r} is no length like 15min, 30s or 1h")
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2][0]]
    if not 1 <= seconds <= 3600 or DAY_S % seconds:
        raise Wrong(
            f"{value!r} 须在 1s 到 1h 之间并能整除一天(如 5min 15min 30min 1h)",
            f"{value!r} must be from 1s to 1h and divide a day (as 5min 15min 30min 1h do)",
        )
    if seconds % 3600 == 0:
        return f"{seconds // 3600}h"
    return f"{seconds // 60}min" if seconds % 60 == 0 else f"{seconds}s"


def interval_seconds(value: str) -> int:
    """Seconds of what `interval` gave."""
    number = int(value.rstrip("hmins"))
    return number * (3600 if value.endswith("h") else 60 if value.endswith("min") else 1)


def closing(value: str) -> str:
    """`01 00:00`: day and park-local time at which a billing period ends; `31 24:00` is the end of the month."""
    match = re.fullmatch(r"(\d{1,2}) (\d{1,2}):(\d\d)", value)
    day, hour, minute = map(int, match.groups()) if match else (0, 0, 0)
    whole = (hour, minute) == (24, 0)
    if not (1 <= day <= 28 or (day == 31 and whole)) or not (whole or (hour < 24 and minute < 60)):
        raise Wrong(
            f'{value!r} 不是 "01 00:00" 这样的结算时刻(日 01–28;月末写作次月 "01 00:00" 或 "31 24:00")',
            f'{value!r} is no closing like "01 00:00" (day 01 to 28; the end of a month is "31 24:00" or "01 00:00")',
        )
    return f"{day:02} {hour:02}:{minute:02}"


def port(value: str) -> str:
    """`/dev/ttyRS485-1`, `socket://10.0.0.5:4001` or `rfc2217://…`."""
    if "://" not in value:
        if not value.startswith("/"):
            raise Wrong(
                f"{value!r} 不是 /dev/… 或 socket://主机:端口", f"{value!r} is neither /dev/… nor socket://host:port"
            )
        return text(value)
    url = _url(value)
    if url.scheme not in ("socket", "rfc2217", "tcp") or not url.hostname or _port_of(value) is None:
        raise Wrong(
            f"{value!r} 要写成 socket://主机:端口、tcp://主机:端口(Modbus TCP)或 rfc2217://主机:端口",
            f"{value!r} must be socket://host:port, tcp://host:port (Modbus TCP) or rfc2217://host:port",
        )
    return value


def baud(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value[:9]) not in BAUDS:
        listed = " ".join(map(str, BAUDS))
        raise Wrong(f"{value!r} 不是常用波特率({listed})", f"{value!r} is none of the baud rates {listed}")
    return int(value)


def framing(value: str) -> str:
    if not re.fullmatch(r"[78][NEO][12]", value.upper()):
        raise Wrong(f"{value!r} 不是 8N1、8E1、7E1 这样的帧格式", f"{value!r} is no framing like 8N1, 8E1 or 7E1")
    return value.upper()


def address(value: str) -> str:
    """Digits of a DL/T 645 address, at most 12, not yet padded."""
    value = value.strip()
    refuse_spreadsheet_number(value)
    if not re.fullmatch(r"[0-9]{1,12}", value):
        raise Wrong(f"{value!r} 不是 12 位数字的通讯地址", f"{value!r} is no DL/T 645 address of 12 digits")
    if value in BROADCASTS:
        raise Wrong(f"{value} 是广播地址", f"{value} is the broadcast address, of no meter")
    return value


def ratio(value: str) -> str:
    """`200/5`, primary / secondary."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)", value)
    if not match or not Decimal(match[1]) or not Decimal(match[2]):
        raise Wrong(f"{value!r} 不是 200/5 这样的变比", f"{value!r} is no ratio like 200/5")
    return f"{match[1]}/{match[2]}"


def calendar_date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat() if len(value) == 10 else _no_date(value)
    except ValueError:
        return _no_date(value)


def _no_date(value: str) -> str:
    raise Wrong(f"{value!r} 不是 2026-07-01 这样的日期", f"{value!r} is no date like 2026-07-01")


def moment(value: str) -> str:
    """An instant as written, checked; `instant` turns it into UTC once the park's offset is known."""
    instant(value, "+00:00")
    return value


def instant(value: str, offset: str) -> datetime:
    """UTC of `2026-07-10T09:30:00+08:00`, or park-local `2026-07-10`, `2026-07-10 09:30`, `2026-07-10 24:00`."""
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.0+)?)?)?\s*(Z|[+-]\d\d:\d\d)?", value.strip(), re.ASCII
    )
    try:
        if not match or not "1970" < match[1][:4] < "2200":
            raise ValueError
        day = date.fromisoformat(match[1])
        hour, minute, second = (int(part or 0) for part in match.group(2, 3, 4))
        if (hour, minute, second) == (24, 0, 0):
            day, hour = day + timedelta(days=1), 0
        named = match[5] or offset
        where = zone("+00:00" if named == "Z" else utc_offset(named))
        return datetime.combine(day, time(hour, minute, second), where).astimezone(UTC)
    except ValueError as error:
        raise Wrong(
            f"{value!r} 不是 2026-07-10T09:30:00+08:00、2026-07-10 09:30 或 2026-07-10 这样的时刻",
            f"{value!r} is no instant like 2026-07-10T09:30:00+08:00, 2026-07-10 09:30 or 2026-07-10",
        ) from error


def utc_text(moment_utc: datetime) -> str:
    return moment_utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def broker(value: str) -> str:
    """`mqtts://host[:port]` or `wss://host[:port][/path]`; a password has no place in it."""
    url = _url(value)
    if "@" in url.netloc:
        raise Wrong(
            "地址里不写用户名和密码,用 username 和 password_file",
            "no user or password in it: use username and password_file",
        )
    names_port = ":" in url.netloc.rpartition("]")[2]
    websocket = url.scheme in ("ws", "wss")
    known = websocket or url.scheme in ("mqtt", "mqtts")
    path_fits = re.fullmatch(r"[!-~]*", url.path) if websocket else url.path in ("", "/")
    beside = not path_fits or url.query or url.fragment
    if not known or not url.hostname or beside or (names_port and not _port_of(value)):
        raise Wrong(
            f"{value!r} 要写成 mqtts://主机:端口 或 wss://主机:端口/路径",
            f"{value!r} must be mqtts://host:port or wss://host:port/path",
        )
    return value


def is_loopback(url: str) -> bool:
    host = _url(url).hostname or ""
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def listening(value: str) -> str:
    """`address:port`, an IPv6 address in brackets; an address of this machine, not a name."""
    host, _, port_text = value.rpartition(":")
    try:
        if host != "localhost":
            ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
            if ":" in host and not host.startswith("["):
                raise ValueError
    except ValueError:
        host = ""
    if not host or not re.fullmatch(r"[1-9]\d{0,4}", port_text, re.ASCII) or int(port_text) > 65535:
        raise Wrong(
            f"{value!r} 要写成 地址:端口,如 127.0.0.1:8080", f"{value!r} must be address:port, as 127.0.0.1:8080"
        )
    return value


def verifier_key(value: str) -> str:
    """A C2SP verifier key that cosigns (type 04)."""
    try:
        key = parse_verifier_key(value)
    except NoteError as error:
        raise Wrong(f"不是 C2SP 核验公钥:{error}", f"no C2SP verifier key: {error}") from error
    if key.algorithm != COSIGNATURE:
        raise Wrong("审核方公钥须为联署类型(04)", "an auditor's key must be of the cosignature type (04)")
    return value


def file_name(value: str) -> str:
    if "\x00" in value or not PurePosixPath(value).name:
        raise Wrong(f"{value!r} 不是文件名", f"{value!r} is no file name")
    return value


def _url(value: str) -> SplitResult:
    try:
        return urlsplit(value)
    except ValueError as error:
        raise Wrong(f"{value!r} 不是网址:{error}", f"{value!r} is no URL: {error}") from error


def _port_of(value: str) -> int | None:
    try:
        return _url(value).port or None
    except ValueError:
        return None
