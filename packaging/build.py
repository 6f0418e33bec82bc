"""Builds what a gateway is installed from, into `dist/`: `python packaging/build.py [ARCH…]`, `make dist` for all.

    hubiao-V-py3-none-any.whl                   from the commit, not from the working tree
    hubiao-V-linux-ARCH.tar.gz                  wheels, requirements.txt with hashes, install.sh
    hubiao_V_ARCH.deb                           the same wheels, units, man page, completion
    hubiao-V-ARCH.cdx.json, SHA256SUMS

Made twice from one commit, the files are the same, byte for byte. Downloads wheels; machines that install need no
network.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import bill_of_materials
import lock

import deb

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
# Debian 12 has glibc 2.36, so wheels for any older one will do
GLIBC_MINORS = (17, 24, 26, 27, 28, 31, 34, 35)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}
# cffi and PyNaCl have no armv7l wheels: there Debian's own python3-nacl is used, through the environment's view of the
# system. iotcore has none either: the demo takes mosquitto.
FROM_DEBIAN = {"armv7l": ("python3-nacl",)}
WITHOUT = {"armv7l": {"pynacl", "cffi", "pycparser", "iotcore"}}


def main(architectures: list[str]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    seconds = int(_git("log", "-1", "--format=%ct"))
    os.environ["SOURCE_DATE_EPOCH"] = str(seconds)
    os.umask(0o022)  # modes are in the wheel
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hubiao-dist-") as temporary:
        source = Path(temporary, "source")
        _export(source)
        wheel = _own_wheel(source, dist)
        made = [wheel]
        for name in architectures or list(ARCHITECTURES):
            house = Path(temporary, f"hubiao-{version}-linux-{name}")
            wheels = _wheelhouse(house, name, wheel)
            moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            sbom = dist / f"hubiao-{version}-{name}.cdx.json"
            sbom.write_text(bill_of_materials.bill(version, wheel, wheels, moment), encoding="utf-8")
            (house / "THIRD-PARTY.md").write_text(bill_of_materials.licences(wheel, wheels), encoding="utf-8")
            shutil.copy(sbom, house / "sbom.cdx.json")
            made += [sbom, _tarball(house, dist, seconds)]
            debian = FROM_DEBIAN.get(name, ())
            made.append(deb.build(source, house, dist, version, ARCHITECTURES[name], seconds, depends=debian))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(made)]
    (dist / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    for line in lines:
        sys.stdout.write(line)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _export(source: Path) -> None:
    source.mkdir()
    packed = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract", "--directory", str(source)], input=packed, check=True)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(command)}")


def _own_wheel(source: Path, dist: Path) -> Path:
    with tempfile.TemporaryDirectory() as built:
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, str(source))
        (wheel,) = Path(built).glob("*.whl")
        _check_complete(wheel)
        return Path(shutil.copy(wheel, dist / wheel.name))


def _check_complete(wheel: Path) -> None:
    """Ends where a committed file of a package is not in its wheel: data is left out silently unless it is declared."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    roots = sorted({name.split(".")[0] for name in packages})
    committed = set(_git("ls-tree", "-r", "--name-only", "HEAD", "--", *roots).splitlines())
    with zipfile.ZipFile(wheel) as archive:
        missing = sorted(committed - set(archive.namelist()))
    if missing:
        sys.exit(f"not in {wheel.name}, declare them in pyproject.toml: {' '.join(missing)}")


def _wheelhouse(house: Path, architecture: str, own: Path) -> list[Path]:
    """Fills `house` with the wheels for an architecture and what installs them; gives the libraries' wheels."""
    wheels = house / "wheels"
    wheels.mkdir(parents=True)
    needed = lock.runtime(ROOT / "requirements.lock")
    entries = "\n".join(needed[each] for each in sorted(needed.keys() - WITHOUT.get(architecture, set()))) + "\n"
    wanted = house / "requirements.txt"
    wanted.write_text(entries, encoding="utf-8")
    platforms = [f"--platform=manylinux_2_{minor}_{architecture}" for minor in GLIBC_MINORS]
    platforms.append(f"--platform=manylinux2014_{architecture}")
    fitting = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp", *platforms]
    _pip("download", "--no-deps", *fitting, "--require-hashes", "-r", str(wanted), "-d", str(wheels))
    libraries = sorted(wheels.iterdir())
    shutil.copy(own, wheels)
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    wanted.write_text(f"{entries}hubiao=={own.name.split('-')[1]} \\\n    --hash=sha256:{digest}\n", encoding="utf-8")
    shutil.copy(HERE / "install.sh", house)
    if architecture in FROM_DEBIAN:
        (house / "debian-packages").write_text("\n".join(FROM_DEBIAN[architecture]) + "\n", encoding="utf-8")
    shutil.copy(ROOT / "LICENSE", house)
    return libraries


def _tarball(house: Path, dist: Path, seconds: int) -> Path:
    def same(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mtime = seconds
        info.mode = 0o755 if info.isdir() or info.name.endswith(".sh") else 0o644
        return info

    path = dist / f"{house.name}.tar.gz"
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=seconds, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        archive.add(house, house.name, recursive=False, filter=same)
        for file in sorted(house.rglob("*")):
            archive.add(file, f"{house.name}/{file.relative_to(house)}", recursive=False, filter=same)
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
