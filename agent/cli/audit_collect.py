"""`hubiao audit import|listen`: evidence taken in, from exports or over MQTT, and cosigned."""

from __future__ import annotations

import pathlib
import signal
import time
from urllib.parse import urlsplit

import click

from agent.cli import Failure
from agent.cli.audit_store import KEYS, PATH, STORE, pin_keys
from agent.cli.durations import DURATION
from agent.cli.output import document, notice
from agent.cli.words import t
from audit.cosign import AuditorKey, Cosigner, KeyFault, load_key
from audit.ingest import import_paths
from audit.listen import BrokerFault, Listener, Where, write_receipt
from audit.store import StoreFault
from audit.writer import Writer

COSIGN = click.option("--cosign-key", "cosign_key", type=PATH, default=None, metavar="F")
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
    if parts.scheme not in ("mqtt", "mqtts", "ws", "wss"):
        raise click.UsageError(t("--mqtt 应为 mqtts:// 或 wss://", "--mqtt: mqtts:// or wss://"))
    if parts.scheme in ("mqtt", "ws") and parts.hostname not in _LOOPBACK and not insecure:
        safe = f"{parts.scheme}s://"
        raise click.UsageError(t(f"远程请用 {safe}，或加 --insecure", f"{safe} beyond this machine, or --insecure"))
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
