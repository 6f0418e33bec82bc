#!/bin/sh
# Makes ./.venv with hubiao and its pinned libraries; without ensurepip (Debian's bare python3) pip installs from outside.
set -eu
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hubiao needs Python 3.11 or later" >&2; exit 1; }
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv 2>/dev/null || { rm -rf .venv; "$python" -m venv --without-pip .venv; }
fi
if .venv/bin/python -m pip --version >/dev/null 2>&1; then
    pip() { .venv/bin/python -m pip "$@"; }
elif "$python" -m pip --version >/dev/null 2>&1; then
    pip() { "$python" -m pip --python .venv/bin/python "$@"; }
else
    echo "no pip for $python; on Debian: apt-get install python3-venv" >&2
    exit 1
fi
pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
# setuptools warns at length about directories of data, which are declared
PYTHONWARNINGS=ignore pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . 2>.venv/install.log || { cat .venv/install.log >&2; exit 1; }
