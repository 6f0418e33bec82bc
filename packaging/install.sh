#!/bin/sh
# Makes a virtual environment from the wheels beside this file, without network: install.sh DIRECTORY
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${1:?usage: install.sh DIRECTORY}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "these wheels are for Python 3.11" >&2; exit 1; }
system=
if [ -e "$here/debian-packages" ]; then system=--system-site-packages; fi # what no wheel can bring comes from Debian
"$python" -m venv --without-pip $system "$target"
for pip in "$here"/wheels/pip-*.whl; do
    PYTHONPATH=$pip PIP_CONFIG_FILE=/dev/null PIP_NO_CACHE_DIR=1 "$target/bin/python" -m pip install --quiet --disable-pip-version-check \
        --ignore-installed --no-index --find-links "$here/wheels" --no-deps --require-hashes --root-user-action=ignore -r "$here/requirements.txt"
done
"$target/bin/hubiao" version
