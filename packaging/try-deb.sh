#!/bin/sh
# Tries the .deb in a bare Debian 12 without network: install, use, upgrade, remove, purge.
#   packaging/try-deb.sh ROOT DEB        ROOT: made by debootstrap --variant=minbase --include=python3
# Needs root (a mount and a network namespace of its own); changes nothing outside ROOT.
set -eu
if [ "${TRY_DEB_INSIDE:-}" != yes ]; then
    root=$(realpath "${1:?ROOT}") deb=$(realpath "${2:?DEB}")
    cp "$deb" "$root/tmp/hubiao.deb"
    cp "$0" "$root/tmp/try-deb.sh"
    exec unshare --mount --net --pid --fork sh -c "
        set -e
        ip link set lo up 2>/dev/null || true
        mount -t proc proc $root/proc
        mkdir -p $root/dev/pts
        mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts $root/dev/pts
        mount --bind $root/dev/pts/ptmx $root/dev/ptmx 2>/dev/null || ln -sf pts/ptmx $root/dev/ptmx
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TRY_DEB_INSIDE=yes chroot $root sh /tmp/try-deb.sh"
fi

say() { printf '\n== %s\n' "$*"; }
as="setpriv --reuid=hubiao --regid=hubiao --init-groups --no-new-privs --bounding-set=-all"
as_hubiao() { $as "$@"; }
# what is there, but for dpkg's own books and the backups that passwd tools make
files() {
    find / -xdev \( -path /proc -o -path /tmp -o -path /var/lib/dpkg -o -path /var/log -o -path /var/cache \) -prune -o -print |
        grep -v '^/etc/\(passwd\|shadow\|group\|gshadow\|subuid\|subgid\)-$' | sort
}
files > /tmp/before

say "no network"
python3 -c "
import socket
try: socket.create_connection(('192.0.2.1', 80), 2); raise SystemExit('there is one')
except OSError as error: print(error)"

say "install"
start=$(date +%s)
dpkg -i /tmp/hubiao.deb
echo "took $(($(date +%s) - start)) s, $(du -sm /opt/hubiao | cut -f1) MB in /opt/hubiao"
hubiao version
id hubiao
stat -c '%A %U:%G %n' /etc/hubiao /var/lib/hubiao

say "demo, as user hubiao"
as_hubiao env HOME=/var/lib/hubiao hubiao --lang en demo --speed 36000 --for 1s | tail -8

say "check, simulator and agent, as user hubiao without capabilities"
mkdir -p /tmp/ports
chown hubiao /tmp/ports
sed -e 's|/dev/ttyRS485|/tmp/ports/ttyRS485|' -e 's|data: data|data: /var/lib/hubiao|' -e '/^mqtt:/d' -e 's|interval: 15min|interval: 10s|' -e 's|zj-2024, zj-2026|zj-2026|' \
    /usr/share/doc/hubiao/samples/demo.yaml > /etc/hubiao/hubiao.yaml
chown root:hubiao /etc/hubiao/hubiao.yaml
chmod 0640 /etc/hubiao/hubiao.yaml
as_hubiao hubiao check --config /etc/hubiao/hubiao.yaml || [ $? = 3 ]
$as hubiao simulate --config /etc/hubiao/hubiao.yaml --link-dir /tmp/ports > /tmp/simulate.out 2>&1 &
simulator=$!
until grep -q ready /tmp/simulate.out; do sleep 0.2; kill -0 $simulator; done
before=$(date +%s%N)
$as hubiao --lang en run --config /etc/hubiao/hubiao.yaml --for 45s &
agent=$!
until [ -s /var/lib/hubiao/hubiao.db ]; do sleep 0.1; kill -0 $agent; done
echo "store open after $((($(date +%s%N) - before) / 1000000)) ms"
sleep 40
sed -n 's/^VmHWM:[[:space:]]*/resident at most: /p' /proc/$agent/status
wait $agent
du -sk /var/lib/hubiao
epoch=$(hubiao --lang en status --data /var/lib/hubiao | grep '^epoch')
hubiao --lang en status --data /var/lib/hubiao
hubiao --lang en verify /var/lib/hubiao --key "$(hubiao key show --data /var/lib/hubiao --json | sed -n 's/.*"verifier_key": "\(.*\)".*/\1/p')"

say "upgrade: the same program under a higher number"
rm -rf /tmp/newer
dpkg-deb -R /tmp/hubiao.deb /tmp/newer
sed -i 's/^Version: .*/&+1/' /tmp/newer/DEBIAN/control
for script in postinst prerm postrm; do sed -i 's|/venv-0|/venv-1.0|' /tmp/newer/DEBIAN/$script; done
dpkg-deb --root-owner-group -b /tmp/newer /tmp/newer.deb > /dev/null
dpkg -i /tmp/newer.deb
ls -l /opt/hubiao
as_hubiao hubiao --lang en run --config /etc/hubiao/hubiao.yaml --for 15s
[ "$(hubiao --lang en status --data /var/lib/hubiao | grep '^epoch')" = "$epoch" ]
echo "same epoch after the upgrade"

say "downgrade"
dpkg -i /tmp/hubiao.deb
as_hubiao hubiao --lang en run --config /etc/hubiao/hubiao.yaml --for 5s
[ "$(hubiao --lang en status --data /var/lib/hubiao | grep '^epoch')" = "$epoch" ]
echo "same epoch after the downgrade"
kill $simulator
wait $simulator || true

say "remove: store, key and configuration stay"
dpkg --remove hubiao
[ ! -e /opt/hubiao ]
ls /etc/hubiao /var/lib/hubiao

say "purge: nothing stays"
dpkg --purge hubiao
files > /tmp/after
diff /tmp/before /tmp/after
echo "no file more, none less"
if getent passwd hubiao; then exit 1; fi
echo "all passed"
