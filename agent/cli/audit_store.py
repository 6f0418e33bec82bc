"""`hubiao audit import|listen|verify|key|rekey`: collecting evidence upstream, and what it is worth."""

from __future__ import annotations

import base64
import binascii
import gc
import os
import pathlib
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import click

from agent.cli import Failure
from agent.cli.durations import DURATION
from agent.cli.output import document, notice, table
from agent.cli.words import t
from audit.cosign import AuditorKey, Cosigner, KeyFault, create_key, load_key
from audit.ingest import import_paths
from audit.listen import BrokerFault, Listener, Where, write_receipt
from audit.rows import LogId
from audit.store import Store, StoreFault
from audit.verify_store import verify_store
from audit.writer import Writer
from contract.note import KEY_BYTES, NoteError, parse_verifier_key

PATH = click.Path(path_type=pathlib.Path)
STORE = click.option("--store", "store", required=True, type=PATH, metavar="DIR")
COSIGN = click.option("--cosign-key", "cosign_key", type=PATH, default=None, metavar="F")
KEYS = click.option("--key", "keys", multiple=True, metavar="VKEY|PARK/GATEWAY=BASE64")
SPARK = click.option(
    "--spark", default=None, metavar="spark://HOST:7077", help=t("在 Spark 集群上", "on a Spark cluster; hubiao[fleet]")
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@click.command("import")
@click.argument("paths", metavar="FILE…", nargs=-1, required=True, type=PATH)
@STORE
@COSIGN
@KEYS
@click.option("--json", "as_json", is_flag=True, help="{records, new, again, forks, refused, logs}")
def import_(
    paths: tuple[pathlib.Path, ...],
    store: pathlib.Path,
    cosign_key: pathlib.Path | None,
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """从导出的证据导入 / take in exported evidence, any order and repetition; exit 3 for forks and refusals."""
    writer = _writer(store)
    try:
        auditor = _auditor(cosign_key)
        pin_keys(writer.store, keys)
        imported = import_paths(list(paths), writer)
        receipts = [] if auditor is None else _receipts(writer, auditor)
        result = {**imported.document(writer), "receipts": receipts}
    except StoreFault as error:
        raise Failure(str(error), 78) from error
    except OSError as error:
        code = 78 if isinstance(error, (FileNotFoundError, IsADirectoryError, PermissionError)) else 74
        raise Failure(f"{error.filename or store}: {error.strerror or error}", code) from error
    finally:
        writer.close()
    if as_json:
        document(result)
    else:
        said = t(
            f"新增 {imported.new} 条，已有 {imported.again} 条，分叉 {imported.forks} 条",
            f"{imported.new} new, {imported.again} known already, {imported.forks} forks",
        )
        click.echo(said)
        for receipt in receipts:
            click.echo(receipt)
    for file, line, why in imported.refused:
        notice(f"{file}:{line}: {why}")
    if imported.forks or imported.refused:
        raise click.exceptions.Exit(3)


@click.command()
@click.option("--mqtt", "url", required=True, metavar="URL")
@STORE
@COSIGN
@KEYS
@click.option("--username", default=None)
@click.option("--password-file", type=PATH, default=None)
@click.option("--ca-file", type=PATH, default=None)
@click.option("--insecure", is_flag=True, help=t("允许不加密的远程连接", "mqtt:// beyond this machine"))
@click.option(
    "--for", "for_s", type=DURATION, default=None, help="90s, 10min; " + t("默认一直运行", "no end if absent")
)
@click.option("--json", "as_json", is_flag=True, help="{new, again, forks, refused, receipts}")
def listen(
    url: str,
    store: pathlib.Path,
    cosign_key: pathlib.Path | None,
    keys: tuple[str, ...],
    username: str | None,
    password_file: pathlib.Path | None,
    ca_file: pathlib.Path | None,
    insecure: bool,
    for_s: float | None,
    as_json: bool,
) -> None:
    """经 MQTT 收集证据，可多个同时运行 / collect evidence over MQTT; several at once share the work."""
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts"):
        raise click.UsageError(t("--mqtt 应为 mqtt:// 或 mqtts://", "--mqtt: mqtt:// or mqtts://"))
    if parts.scheme == "mqtt" and parts.hostname not in _LOOPBACK and not insecure:
        raise click.UsageError(t("远程请用 mqtts://，或加 --insecure", "mqtts:// beyond this machine, or --insecure"))
    auditor = _auditor(cosign_key)
    writer = _writer(store)
    try:
        password = None if password_file is None else password_file.read_text(encoding="utf-8").strip()
        pin_keys(writer.store, keys)
        where = Where(url, username or parts.username, password or parts.password, str(ca_file) if ca_file else None)
        listener = Listener(where, writer, auditor)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: listener.stopping.set())
        listener.run(for_s, lambda: notice(t(f"正在监听 {parts.hostname}", f"listening to {parts.hostname}")))
    except BrokerFault as error:
        raise Failure(str(error), 69) from error
    except OSError as error:
        raise Failure(f"{error.filename or store}: {error.strerror or error}", 74) from error
    finally:
        writer.close()
    counts = {name: getattr(listener.counts, name) for name in ("new", "again", "forks", "refused", "receipts")}
    if as_json:
        document(counts)
    else:
        click.echo("  ".join(f"{name} {count}" for name, count in counts.items()))
    if listener.counts.forks:
        raise click.exceptions.Exit(3)


@click.command("verify")
@STORE
@KEYS
@click.option("--park", default=None)
@click.option("--auditor", "auditors", multiple=True, metavar="VKEY")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count, help=t("并行进程数", "parks verified at once"))
@SPARK
@click.option("--json", "as_json", is_flag=True, help="{ok, logs: [{park, …, findings, completeness}], alarms}")
def verify(
    store: pathlib.Path,
    keys: tuple[str, ...],
    park: str | None,
    auditors: tuple[str, ...],
    jobs: int,
    spark: str | None,
    as_json: bool,
) -> None:
    """核验全部证据：改动、分叉、空洞、回退、重算 / verify everything in the store; exit 3 if anything is found."""
    opened = open_store(store)
    pin_keys(opened, keys)
    gc.disable()  # millions of objects and no cycles
    try:
        if spark is None:
            result = verify_store(opened, park=park, auditors=auditors, jobs=jobs)
        else:
            with on_spark(spark, opened) as (fleet, session):
                result = fleet.verify_store(session, opened, park, auditors)
    except OSError as error:
        raise Failure(f"{error.filename or store}: {error.strerror or error}", 78) from error
    except NoteError as error:
        raise Failure(f"{store}: {error}", 78) from error
    finally:
        gc.enable()
    if as_json:
        document(result)
    else:
        _show(result)
    if not result["ok"]:
        raise click.exceptions.Exit(3)


@click.command("key")
@click.argument("file", metavar="F", type=PATH)
@click.option(
    "--name", default=None, metavar="audit.example/zj-1", help=t("生成新密钥时的名称", "make a key of this name")
)
def key(file: pathlib.Path, name: str | None) -> None:
    """审计方见证密钥：生成或显示 / the auditor's cosigning key: made with --name, else shown, as gateways pin it."""
    try:
        made = load_key(file) if name is None else create_key(file, name)
    except KeyFault as error:
        raise Failure(f"{file}: {error}", 78) from error
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}", 74 if name else 78) from error
    click.echo(made.verifier)


@click.command()
@click.argument("vkey", metavar="VKEY")
@STORE
def rekey(vkey: str, store: pathlib.Path) -> None:
    """网关换了密钥:从此纪元起用新钥,旧纪元仍用旧钥 / a gateway has a new key: from the epoch that VKEY names on.

    Only with a VKEY that came by another way than the evidence did.
    """
    opened = open_store(store)
    try:
        parsed = parse_verifier_key(vkey)
        hubiao, *place = parsed.name.split("/")
        if hubiao != "hubiao" or len(place) != 3:
            raise NoteError(f"{vkey!r} names no epoch of a gateway")
    except NoteError as error:
        raise Failure(str(error), 78) from error
    before = opened.accept_key(LogId(*place), base64.b64encode(parsed.key).decode())
    old = before or t("(没有)", "(none)")
    click.echo(t(f"{'/'.join(place)}:此前 {old}", f"{'/'.join(place)}: before it {old}"))


def open_store(directory: pathlib.Path) -> Store:
    """Exit 78 without one."""
    try:
        return Store(directory)
    except StoreFault as error:
        raise Failure(str(error), 78) from error


@contextmanager
def on_spark(master: str, store: Store) -> Iterator[tuple[Any, Any]]:
    """audit.fleet and a session on the cluster, with everything folded. Exit 1 without the extra."""
    try:
        from audit import fleet
        from audit.fold import fold
    except ModuleNotFoundError as error:
        raise Failure(
            t(f"缺少 {error.name}:请安装 hubiao[fleet]", f"no {error.name}: install hubiao[fleet]"), 1
        ) from error
    fold(store)
    session = fleet.session(master)
    try:
        yield fleet, session
    finally:
        session.stop()


def pin_keys(store: Store, keys: tuple[str, ...]) -> None:
    """Keeps gateways' keys given as verifier keys or PARK/GATEWAY=BASE64. Exit 78."""
    for text in keys:
        path = pathlib.Path(text)
        text = path.read_text(encoding="utf-8").strip() if "+" not in text and path.is_file() else text
        place, equals, raw = text.partition("=")
        try:
            if equals and "+" not in place:
                if len(base64.b64decode(raw, validate=True)) != KEY_BYTES:
                    raise NoteError("no key of 32 bytes")
                park, _, gateway = place.partition("/")
            else:
                parsed = parse_verifier_key(text)
                _, park, gateway, *_ = [*parsed.name.split("/"), "", "", ""]
                raw = base64.b64encode(parsed.key).decode()
            if not (park and gateway):
                raise NoteError(f"{text!r} names no park and gateway")
        except (NoteError, binascii.Error) as error:
            raise Failure(f"--key: {error}", 78) from error
        if not store.pin_key(park, gateway, raw):
            raise Failure(f"--key: {park}/{gateway}: " + t("已固定的是另一把密钥", "another key is pinned"), 78)


def _writer(directory: pathlib.Path) -> Writer:
    try:
        return Writer(directory)
    except OSError as error:
        raise Failure(f"{directory}: {error.strerror or error}", 74) from error


def _auditor(path: pathlib.Path | None) -> AuditorKey | None:
    try:
        return None if path is None else load_key(path)
    except KeyFault as error:
        raise Failure(f"{path}: {error}", 78) from error
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}", 78) from error


def _receipts(writer: Writer, auditor: AuditorKey) -> list[str]:
    """A receipt file for the newest checkpoint of each log that is held completely."""
    cosigner = Cosigner(writer.store, auditor)
    paths = []
    for which in writer.store.logs():
        checkpoints = writer.store.notes(which, "checkpoints")
        cosigner.backlog.add(which)
        receipt = cosigner.consider(which, checkpoints[-1], int(time.time())) if checkpoints else None
        if receipt:
            paths.append(str(write_receipt(writer.store.directory, which, receipt)))
    return paths


def _show(result: dict[str, Any]) -> None:
    head = ("", t("记录", "records"), t("发现", "findings"), t("应答时刻", "slots"), t("缺失", "missing"))
    rows = []
    for log in result["logs"]:
        slots = sum(row["slots"] for row in log["completeness"])
        missing = sum(row["missing"] + row.get("gap", 0) for row in log["completeness"])
        name = f"{log['park']}/{log['gateway']}/{log['epoch'][:8]}"
        rows.append((name, f"{log['held']}/{log['size']}", len(log["findings"]), slots, missing))
    table(head, rows)
    for log in result["logs"]:
        for finding in log["findings"][:20]:
            click.echo(f"{log['park']}/{log['gateway']} {finding['seq']} {finding['code']}: {finding['text']}")
    for log in result["logs"]:
        if log["follows"] is not None and log["follows"]["previous"] is not None:
            _show_follows(log["epoch"], log["follows"])
    for alarm in result["alarms"]:
        notice(t("警报：", "alarm: ") + str(alarm))


def _show_follows(epoch: str, follows: dict[str, Any]) -> None:
    before, cause, meters = follows["previous"][:8], follows["cause"], follows["between"]
    held = "" if follows["held"] else t("（未持有）", " (not held)")
    click.echo(t(f"{epoch[:8]} 接 {before}{held}：{cause}", f"{epoch[:8]} follows {before}{held}: {cause}"))
    head = (
        t("电表", "meter"),
        t("前纪元末次", "last before"),
        t("新纪元首次", "first after"),
        t("其间 kWh", "kWh between"),
    )
    if meters:
        table(head, [(row["meter"], row["from"], row["to"], row["kwh"] or "-") for row in meters])
