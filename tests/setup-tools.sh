#!/bin/sh
# What the tests use beside Python: mosquitto (the reference broker). Installed when that is possible, said when not.
missing=""
for tool in mosquitto mbpoll; do
    command -v "$tool" >/dev/null 2>&1 || [ -x "/usr/sbin/$tool" ] || missing="$missing $tool"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing; } >/dev/null 2>&1
fi
for tool in $missing; do
    command -v "$tool" >/dev/null 2>&1 || [ -x "/usr/sbin/$tool" ] || echo "not installed: $tool; tests that need it are skipped"
done
exit 0
