"""A province on one machine and on a Spark cluster of two workers: time, memory, and whether they say the same.

    python -m bench.fleet make DIR --parks 1000 --slots 8          whole evidence, to be verified
    python -m bench.fleet make DIR --parks 1000 --days 31          columns of a month without the records' bytes
    python -m bench.fleet run DIR verify|survey duckdb|spark       prints a line of JSON with a digest of all answers

Spark is its own standalone cluster on loopback: a master, two workers of one core each. Memory is the sum over all
processes that belong to the run, proportional shares (PSS), looked at twice a second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.store import Store
from audit.writer import Writer
from bench.evidence_auditor import AUDITOR_VKEY, free_port
from bench.province import Template, month_of, names, put, put_months

WORKERS, MEMORY = 2, "3g"
PATIENCE_S = 120.0


def make(directory: Path, parks: int, meters: int, slots: int, days: int | None, every_s: int) -> dict[str, Any]:
    """A store of so many parks."""
    writer = Writer(directory)
    template = Template.play(meters, slots if days is None else 96)
    if days is None:
        rows = len(template.rows)
        for name in names(parks):
            put(writer, template.stamp(name))
    else:
        month = month_of(template, days, every_s)
        rows = len(month)
        put_months(writer, names(parks), month)
    writer.close()
    size = sum(path.stat().st_size for path in directory.rglob("*.parquet"))
    return {"parks": parks, "records": rows * parks, "parquet_mb": size >> 20}


def run(directory: Path, what: str, engine: str) -> dict[str, Any]:
    """One measurement."""
    store = Store(directory)
    with _watched() as seen:
        began = time.monotonic()
        if engine == "duckdb":
            seconds, answer = _on_one_machine(store, what)
        else:
            with cluster() as master:
                seconds, answer = _on_spark(master, store, what)
        whole = time.monotonic() - began
    said = json.dumps(answer, sort_keys=True).encode()
    rows = {name: len(value) for name, value in answer.items() if isinstance(value, list)}
    return {
        "what": what,
        "engine": engine,
        "parks": len(store.parks()),
        "seconds": round(seconds, 1),
        "with_start_s": round(whole, 1),
        "peak_mb": seen["peak_kb"] >> 10,
        "cpu_s": round(seen["cpu_s"], 1),
        "load": os.getloadavg()[0],
        "ok": answer.get("ok"),
        "rows": rows,
        "digest": hashlib.sha256(said).hexdigest()[:16],
    }


def _on_one_machine(store: Store, what: str) -> tuple[float, dict[str, Any]]:
    from audit.survey import survey
    from audit.verify_store import verify_store

    began = time.monotonic()
    if what == "survey":
        answer: dict[str, Any] = dict(survey(store))
    else:
        answer = verify_store(store, auditors=[AUDITOR_VKEY], jobs=WORKERS)
    return time.monotonic() - began, answer


def _on_spark(master: str, store: Store, what: str) -> tuple[float, dict[str, Any]]:
    from audit import fleet

    settings = {
        "spark.executor.memory": "2g",
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.network.timeout": "1200s",  # a shared machine may stop us for minutes
        "spark.executor.heartbeatInterval": "60s",
    }
    spark = fleet.session(master, settings)
    try:
        began = time.monotonic()
        if what == "survey":
            answer: dict[str, Any] = dict(fleet.survey(spark, store))
        else:
            answer = fleet.verify_store(spark, store, auditors=[AUDITOR_VKEY])
        return time.monotonic() - began, answer
    finally:
        spark.stop()


@contextmanager
def cluster() -> Iterator[str]:
    """A standalone cluster on loopback; gives the master's URL. Ends its processes by their ids."""
    import pyspark

    home = Path(pyspark.__file__).parent
    port = free_port()
    os.environ.update({"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable})
    os.environ["SPARK_DAEMON_JAVA_OPTS"] = "-Dspark.worker.timeout=1200"
    master = f"spark://127.0.0.1:{port}"
    launch = [str(home / "bin" / "spark-class"), "org.apache.spark.deploy"]
    place = ["--host", "127.0.0.1", "--webui-port", "0"]
    started = []
    with tempfile.TemporaryDirectory(prefix="hubiao-spark-") as scratch, open(Path(scratch) / "log", "w") as log:

        def start(role: str, *words: str) -> None:
            command = [launch[0], f"{launch[1]}.{role}", *place, *words]
            started.append(subprocess.Popen(command, stdout=log, stderr=log))

        try:
            start("master.Master", "--port", str(port))
            _await_port(port)
            for n in range(WORKERS):
                start("worker.Worker", "--cores", "1", "--memory", MEMORY, "--work-dir", f"{scratch}/{n}", master)
            os.environ["SPARK_LOCAL_DIRS"] = scratch
            yield master
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(30)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"nothing listens on {port}")


@contextmanager
def _watched() -> Iterator[dict[str, Any]]:
    """Peak memory and processor time of this process and all below it."""
    seen: dict[str, Any] = {"peak_kb": 0, "cpu_s": 0.0}
    done = threading.Event()
    spent: dict[int, float] = {}  # process → CPU seconds, as last seen: some end before we do

    def look() -> None:
        while not done.wait(0.5):
            family = _family()
            seen["peak_kb"] = max(seen["peak_kb"], sum(map(_pss_kb, family)))
            spent.update({pid: _cpu_s(pid) for pid in family})

    watcher = threading.Thread(target=look)
    before = _cpu_s(os.getpid())
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
        spent[os.getpid()] = _cpu_s(os.getpid()) - before
        seen["cpu_s"] = sum(spent.values())


def _family() -> list[int]:
    """This process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [os.getpid()]
    for pid in found:
        found += parents.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat behind the name; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    made = verbs.add_parser("make")
    made.add_argument("directory", type=Path)
    made.add_argument("--parks", type=int, default=10)
    made.add_argument("--meters", type=int, default=50)
    made.add_argument("--slots", type=int, default=96)
    made.add_argument("--days", type=int)
    made.add_argument("--every", type=int, default=900, help="interval in seconds, with --days")
    ran = verbs.add_parser("run")
    ran.add_argument("directory", type=Path)
    ran.add_argument("what", choices=["verify", "survey"])
    ran.add_argument("engine", choices=["duckdb", "spark"])
    options = parser.parse_args()
    began = time.monotonic()
    if options.verb == "make":
        found = make(options.directory, options.parks, options.meters, options.slots, options.days, options.every)
        found["seconds"] = round(time.monotonic() - began, 1)
    else:
        found = run(options.directory, options.what, options.engine)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
