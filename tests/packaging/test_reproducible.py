"""The same wheelhouse packed twice gives the same bytes, whatever the machine's umask, clock and file times say."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from agent.cli import VERBS

ROOT = Path(__file__).parents[2]
MOMENT = 1_790_000_000
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "packaging")


def house(directory: Path, mtime: int) -> Path:
    """A wheelhouse with nothing in it but names."""
    wheels = directory / "hubiao-9-linux-x86_64" / "wheels"
    wheels.mkdir(parents=True)
    for name in ("b.whl", "a.whl"):
        (wheels / name).write_bytes(name.encode())
        os.utime(wheels / name, (mtime, mtime))
    (wheels.parent / "requirements.txt").write_text("a==1\n")
    shutil.copy(ROOT / "packaging" / "install.sh", wheels.parent)
    return wheels.parent


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


@needs_dpkg
@pytest.mark.usefixtures("packing")
def test_packages_are_the_same_under_another_umask_and_with_other_file_times(tmp_path: Path) -> None:
    import build
    import deb

    made = []
    for name, mask, mtime in (("one", 0o022, 1), ("另 一个", 0o077, 1_700_000_000)):
        before = os.umask(mask)
        try:
            dist = tmp_path / f"dist-{name}"
            dist.mkdir()
            wheels = house(tmp_path / name, mtime)
            build._tarball(wheels, dist, MOMENT)
            deb.build(ROOT, wheels, dist, "9", "amd64", MOMENT, depends=())
        finally:
            os.umask(before)
        made.append(digests(dist))
    assert made[0] == made[1]
    assert sorted(made[0]) == ["hubiao-9-linux-x86_64.tar.gz", "hubiao_9_amd64.deb"]


@pytest.mark.usefixtures("packing")
def test_a_tarball_names_no_builder(tmp_path: Path) -> None:
    import build

    path = build._tarball(house(tmp_path / "here", 5), tmp_path, MOMENT)
    with tarfile.open(path) as archive:
        about = {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in archive.getmembers()}
    assert about == {(0, 0, "root", "root", MOMENT)}


@needs_dpkg
@pytest.mark.usefixtures("packing")
def test_a_package_brings_units_completion_man_page_documents_and_licences(tmp_path: Path) -> None:
    import deb

    path = deb.build(ROOT, house(tmp_path / "here", 5), tmp_path, "9", "armhf", MOMENT, depends=("python3-nacl",))
    listed = subprocess.run(["dpkg-deb", "-c", str(path)], capture_output=True, text=True, check=True).stdout
    names = {line.split()[5].removeprefix("./") for line in listed.splitlines()}
    assert {
        "usr/lib/systemd/system/hubiao.service",
        "usr/lib/systemd/system/hubiao-simulate@.service",
        "usr/lib/sysusers.d/hubiao.conf",
        "usr/lib/tmpfiles.d/hubiao.conf",
        "usr/share/bash-completion/completions/hubiao",
        "usr/share/man/man1/hubiao.1.gz",
        "usr/share/doc/hubiao/docs/field-guide.zh.md",
        "usr/share/doc/hubiao/copyright",
        "usr/share/doc/hubiao/samples/small.yaml",
    } <= names
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}
    said = subprocess.run(["dpkg-deb", "-f", str(path), "Depends"], capture_output=True, text=True, check=True).stdout
    assert said.strip().endswith("python3-nacl")


@pytest.mark.usefixtures("packing")
def test_the_man_page_names_every_verb_and_is_well_formed(tmp_path: Path) -> None:
    import deb

    text = deb.man_page()
    assert not [verb for verb in VERBS if f"\n.B {verb}\n".replace("-", "\\-") not in text]
    if shutil.which("man"):
        page = tmp_path / "hubiao.1"
        page.write_text(text, encoding="utf-8")
        command = ["man", "--warnings", "--local-file", str(page)]
        shown = subprocess.run(
            command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        )
        assert shown.stderr == ""
        assert "replace-meter" in shown.stdout
