#!/bin/sh
# Builds everything twice, from two clones under other names, umasks, locales and time zones; exit 1 if a file differs.
#   packaging/same-twice.sh [ARCH…]        for some minutes; downloads wheels twice
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
commit=$(git -C "$here" rev-parse HEAD)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build() { # DIRECTORY UMASK ZONE LOCALE ARCH…
    directory=$1 mask=$2 zone=$3 locale=$4
    shift 4
    git clone --quiet "$here" "$directory"
    git -C "$directory" -c advice.detachedHead=false checkout --quiet "$commit"
    (cd "$directory" && umask "$mask" && TZ=$zone LC_ALL=$locale "$here/.venv/bin/python" packaging/build.py "$@" > /dev/null)
}
build "$work/one" 022 UTC C "$@"
build "$work/另 一个" 077 Asia/Shanghai C.UTF-8 "$@"
cat "$work/one/dist/SHA256SUMS"
for file in "$work"/one/dist/*; do cmp "$file" "$work/另 一个/dist/$(basename "$file")"; done
echo "the same, byte for byte"
