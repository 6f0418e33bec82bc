"""The .deb: a wheelhouse, units and documents laid out as a tree and packed by dpkg-deb (docs/decisions/0008).

/usr/share/hubiao       wheels, requirements.txt, install.sh      postinst makes /opt/hubiao/venv-ID of them
/opt/hubiao/venv        symbolic link to the environment in use   /usr/bin/hubiao → /opt/hubiao/venv/bin/hubiao
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.cli import VERBS

HERE = Path(__file__).parent
CONTROL = """\
Package: hubiao
Version: {version}
Architecture: {architecture}
Maintainer: hubiao developers <maintainers@hubiao.example>
Installed-Size: {size}
Depends: {depends}
Recommends: systemd, ca-certificates
Suggests: mosquitto
Section: net
Priority: optional
Homepage: https://hubiao.example/
Description: per-tenant energy of a resale park, with evidence
 Reads DL/T 645 and Modbus sub-meters over RS-485, keeps a ledger of what each
 tenant used in each tariff period, seals it in a signed log and publishes it
 over MQTT. Brings its Python libraries along; installs without network.
"""
DEPENDS = ("python3 (>= 3.11)", "python3 (<< 3.12)", "passwd")
SCRIPTS = ("postinst", "prerm", "postrm")
DOCUMENTS = ("README.md", "README.zh-CN.md", "CHANGELOG.md", "SECURITY.md", "SECURITY.zh.md")


def build(
    source: Path, house: Path, dist: Path, version: str, architecture: str, seconds: int, *, depends: tuple[str, ...]
) -> Path:
    """Packs `house` (see build.py) with the documents of `source`; every file dated `seconds` since 1970.

    `depends` names the Debian packages that take the place of wheels.
    """
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary, "hubiao")
        _lay_out(source, house, tree)
        identity = f"{version}-{hashlib.sha256((house / 'requirements.txt').read_bytes()).hexdigest()[:8]}"
        control = tree / "DEBIAN"
        control.mkdir()
        for script in SCRIPTS:
            text = (HERE / "debian" / script).read_text(encoding="utf-8").replace("@ID@", identity)
            (control / script).write_text(text, encoding="utf-8")
        files = [path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink()]
        size = sum(path.stat().st_size for path in files) // 1024
        needed = ", ".join((*DEPENDS, *depends))
        (control / "control").write_text(
            CONTROL.format(version=version, architecture=architecture, depends=needed, size=size)
        )
        sums = (
            f"{hashlib.md5(p.read_bytes()).hexdigest()}  {p.relative_to(tree)}\n"
            for p in files
            if control not in p.parents
        )
        (control / "md5sums").write_text("".join(sums))
        _settle(tree, seconds)
        path = dist / f"hubiao_{version}_{architecture}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", str(tree), str(path)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(seconds)},  # else the archive's own date is now
        )
        return path


def _lay_out(source: Path, house: Path, tree: Path) -> None:
    shutil.copytree(house, tree / "usr/share/hubiao")
    units = source / "systemd"
    places = {
        "hubiao.service": "usr/lib/systemd/system/hubiao.service",
        "hubiao-simulate@.service": "usr/lib/systemd/system/hubiao-simulate@.service",
        "hubiao.sysusers": "usr/lib/sysusers.d/hubiao.conf",
        "hubiao.tmpfiles": "usr/lib/tmpfiles.d/hubiao.conf",
        "99-hubiao.rules": "usr/share/doc/hubiao/examples/99-hubiao.rules",
    }
    for name, place in places.items():
        _copy(units / name, tree / place)
    documents = tree / "usr/share/doc/hubiao"
    for name in DOCUMENTS:
        _copy(source / name, documents / name)
    shutil.copytree(source / "docs", documents / "docs")  # all of it: where the box stands there is no network
    _copy(source / "LICENSE", documents / "copyright")
    shutil.copytree(source / "config/samples", documents / "samples")
    _write(tree / "usr/share/bash-completion/completions/hubiao", _completion())
    _write(tree / "usr/share/man/man1/hubiao.1.gz", gzip.compress(man_page().encode(), mtime=0))
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/hubiao").symlink_to("/opt/hubiao/venv/bin/hubiao")


def man_page() -> str:
    """`hubiao.1` with every verb that there is."""
    verbs = (f".TP\n.B {verb}\n{text}" for verb, (_, _, text) in VERBS.items())
    return (HERE / "hubiao.1").read_text(encoding="utf-8").replace("@VERBS@", "\n".join(verbs).replace("-", "\\-"))


def _completion() -> bytes:
    program = Path(sys.executable).with_name("hubiao")
    env = {**os.environ, "_HUBIAO_COMPLETE": "bash_source"}
    return subprocess.run([str(program)], env=env, capture_output=True, check=True).stdout


def _copy(source: Path, target: Path) -> None:
    _write(target, source.read_bytes())


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def _settle(tree: Path, seconds: int) -> None:
    """The same modes and times wherever it was built."""
    for path in sorted(tree.rglob("*"), reverse=True):
        if not path.is_symlink():
            program = path.is_dir() or path.suffix == ".sh" or (path.parent.name == "DEBIAN" and path.name in SCRIPTS)
            path.chmod(0o755 if program else 0o644)
        os.utime(path, (seconds, seconds), follow_symlinks=False)
    tree.chmod(0o755)
    os.utime(tree, (seconds, seconds))
