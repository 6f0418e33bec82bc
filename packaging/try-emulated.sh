#!/bin/sh
# Tries the .deb of another architecture in a Debian 12 of that architecture, without network, under qemu user emulation:
# install, import everything, tests of codec, ledger and evidence, and a minute of the agent on simulated meters.
#   packaging/try-emulated.sh arm64|armhf DEB [ROOT]    ROOT: made here if it is not there, and then taken away again
# Needs root, debootstrap and qemu-user-static with its binfmt entry (F), and make setup. Takes half an hour; TESTS names fewer.
set -eu
if [ "${TRY_INSIDE:-}" != yes ]; then
    here=$(cd "$(dirname "$0")/.." && pwd)
    architecture=${1:?arm64 or armhf} deb=$(realpath "${2:?DEB}")
    root=${3:-$(mktemp -d)/root}
    if [ ! -d "$root" ]; then
        trap 'rm -rf --one-file-system "$root"' EXIT
        debootstrap --arch="$architecture" --variant=minbase --include=python3,python3-nacl,python3-cffi-backend bookworm "$root" ${MIRROR:-} > "$root.log" 2>&1 ||
            { tail -5 "$root.log" >&2; exit 1; }
    fi
    root=$(realpath "$root")
    rm -rf "$root/tmp/try" && mkdir -p "$root/tmp/try"
    cp "$deb" "$root/tmp/hubiao.deb"
    cp "$0" "$root/tmp/try-emulated.sh"
    # the tests, but none of the packages that they test: those come from the .deb
    git -C "$here" archive HEAD tests bench docs config/samples config/meters config/schedules contract/schemas pyproject.toml |
        tar -x -C "$root/tmp/try"
    "$here/.venv/bin/python" "$here/packaging/lock.py" pytest pytest-asyncio pytest-timeout hypothesis > "$root/tmp/tools.txt"
    case $architecture in arm64) machine=aarch64 ;; armhf) machine=armv7l ;; *) echo "$architecture?" >&2; exit 2 ;; esac
    PIP_ROOT_USER_ACTION=ignore "$here/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary=:all: --python-version=3.11 --implementation=cp --platform="manylinux_2_17_$machine" \
        --target "$root/tmp/try/tools" -r "$root/tmp/tools.txt"
    unshare --mount --net --pid --fork sh -c "
        set -e
        ip link set lo up
        mount -t proc proc $root/proc
        mkdir -p $root/dev/pts
        mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts $root/dev/pts
        mount --bind $root/dev/pts/ptmx $root/dev/ptmx 2>/dev/null || ln -sf pts/ptmx $root/dev/ptmx
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TRY_INSIDE=yes TESTS=\"${TESTS:-}\" chroot $root sh /tmp/try-emulated.sh"
    rm -rf "$root/tmp/try" "$root/tmp/hubiao.deb" "$root/tmp/try-emulated.sh" "$root/tmp/tools.txt"
    exit
fi

say() { printf '\n== %s (%s s)\n' "$*" $(($(date +%s) - begun)); }
begun=$(date +%s)
as_hubiao="setpriv --reuid=hubiao --regid=hubiao --init-groups --no-new-privs --bounding-set=-all"
cd /tmp/try

say "install on $(uname -m), $(python3 --version)"
dpkg -i /tmp/hubiao.deb
hubiao version

say "every module is imported"
/opt/hubiao/venv/bin/python - <<'P'
import importlib, pkgutil, nacl, pydantic_core
FOR_AUDITORS = {"duckdb", "pyarrow", "pyspark"}  # extras that no gateway has
count, without = 0, []
for name in ("contract", "drivers", "config", "agent", "simulators", "audit"):
    package = importlib.import_module(name)
    assert package.__file__.startswith("/opt/hubiao/"), package.__file__
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
            count += 1
        except ModuleNotFoundError as error:
            if error.name.split(".")[0] not in FOR_AUDITORS:
                raise
            without.append(module.name)
print(count, "modules; without an auditor's extras:", *without)
print("PyNaCl", nacl.__version__, nacl.__file__, "pydantic-core", pydantic_core.__version__)
P

say "tests of codec, ledger and evidence"
PYTHONPATH=/tmp/try/tools /opt/hubiao/venv/bin/python -B -m pytest -q -p no:cacheprovider -o timeout=1200 -o pythonpath="tests/end_to_end" -W default \
    ${TESTS:-tests/codec/test_dlt645_frame.py tests/codec/test_dlt645_identifiers.py tests/codec/test_modbus_frames.py tests/codec/test_modbus_registers.py
    tests/pipeline/test_ledger.py tests/pipeline/test_ledger_balance.py
    tests/evidence/test_tree.py tests/evidence/test_note.py tests/evidence/test_keys.py tests/evidence/test_verify.py tests/evidence/test_store.py}

say "the agent, as user hubiao without capabilities, on simulated meters"
mkdir -p /tmp/ports
chown hubiao /tmp/ports
sed -e 's|/dev/ttyRS485|/tmp/ports/ttyRS485|' -e 's|data: data|data: /var/lib/hubiao|' -e '/^mqtt:/d' -e 's|interval: 15min|interval: 30s|' -e 's|zj-2024, zj-2026|zj-2026|' \
    /usr/share/doc/hubiao/samples/demo.yaml > /etc/hubiao/hubiao.yaml
chown root:hubiao /etc/hubiao/hubiao.yaml
chmod 0640 /etc/hubiao/hubiao.yaml
$as_hubiao hubiao --lang en simulate --config /etc/hubiao/hubiao.yaml --link-dir /tmp/ports > /tmp/simulate.out 2>&1 &
simulator=$!
until grep -q ready /tmp/simulate.out; do sleep 0.5; kill -0 $simulator; done
$as_hubiao hubiao --lang en run --config /etc/hubiao/hubiao.yaml --for 60s
kill $simulator
wait $simulator || true
hubiao --lang en status --data /var/lib/hubiao
hubiao --lang en verify /var/lib/hubiao --key "$(hubiao key show --data /var/lib/hubiao --json | sed -n 's/.*"verifier_key": "\(.*\)".*/\1/p')"

say "purge"
dpkg --purge hubiao
rm -rf /tmp/ports /tmp/simulate.out
[ ! -e /opt/hubiao ]
say "all passed"
