#!/bin/sh
# What the tests use beside Python: mosquitto (the reference broker), mbpoll, systemd-analyze, and a browser for the status
# page: Chromium with node, and playwright-core in a cache outside this directory; Debian's PyNaCl, which 32-bit ARM signs
# with. Installed when that is possible, said
# when not.
there() {
    case "$1" in
    python3-nacl) /usr/bin/python3 -c "import nacl" 2>/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] ;;
    esac
}
missing=""
for tool in mosquitto mbpoll chromium npm systemd-analyze python3-nacl; do
    there "$tool" || missing="$missing $tool"
done
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    packages=$(echo "$missing" | sed 's/systemd-analyze/systemd/')
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages; } >/dev/null 2>&1
fi
for tool in $missing; do
    there "$tool" || echo "not installed: $tool; tests that need it are skipped"
done
cache="${HUBIAO_TEST_TOOLS:-$HOME/.cache/hubiao-tests}"
if there npm && [ ! -d "$cache/node_modules/playwright-core" ]; then
    mkdir -p "$cache" && npm install --prefix "$cache" --no-save --no-audit --no-fund playwright-core@1 >/dev/null 2>&1 ||
        echo "not installed: playwright-core; tests in a browser are skipped"
fi
exit 0
