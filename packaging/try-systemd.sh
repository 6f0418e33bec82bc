#!/bin/sh
# Tries the .deb under a systemd of its own, in a container without network: units as installed with their whole sandbox, readiness,
# watchdog, credentials, exit 78, reload, a broker, upgrade while running, a restart of the box, purge.
#   packaging/try-systemd.sh ROOT DEB    ROOT: made by debootstrap --variant=minbase --include=python3,systemd,systemd-sysv
# Needs root and systemd-nspawn (systemd-container); changes nothing outside ROOT. Takes two minutes.
set -eu
if [ "${TRY_INSIDE:-}" != yes ]; then
    root=$(realpath "${1:?ROOT}") deb=$(realpath "${2:?DEB}")
    alone=
    [ -d /run/systemd/system ] || alone="--register=no --keep-unit"
    rm -rf "$root/opt/try" "$root"/etc/systemd/system/hubiao*.d
    mkdir -p "$root/opt/try"
    cp "$deb" "$root/opt/try/hubiao.deb"
    cp "$0" "$root/opt/try/try.sh"
    cat > "$root/etc/systemd/system/try.service" <<'U'
[Unit]
After=multi-user.target
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
Environment=TRY_INSIDE=yes
ExecStart=sh /opt/try/try.sh
StandardOutput=append:/opt/try/said
StandardError=inherit
TimeoutStartSec=300
[Install]
WantedBy=multi-user.target
U
    ln -sf ../try.service "$root/etc/systemd/system/multi-user.target.wants/try.service"
    for boot in first second; do # each ends by itself
        touch "$root/opt/try/$boot"
        systemd-nspawn --quiet $alone --directory="$root" --machine="try-$$" --private-network --boot < /dev/null > "$root/opt/try/console-$boot" 2>&1 || true
        [ -e "$root/opt/try/passed-$boot" ] || break
    done
    cat "$root/opt/try/said"
    passed=no
    if [ -e "$root/opt/try/passed-second" ]; then passed=yes; fi
    rm -rf "$root/opt/try" "$root/etc/systemd/system/try.service" "$root/etc/systemd/system/multi-user.target.wants/try.service"
    [ $passed = yes ]
    exit
fi

trap '[ $? = 0 ] || journalctl -u hubiao -u "hubiao-simulate@*" --no-pager -n 30' EXIT
say() { printf '\n== %s\n' "$*"; }
shown() { systemctl show --value -p "$1" hubiao; }
epoch() { hubiao --lang en status --data /var/lib/hubiao | grep '^epoch'; }
wait_for() { # SECONDS COMMAND…: until it succeeds
    left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || { echo "never: $*"; exit 1; }
        sleep 1
    done
}
is_new() { [ "$(shown MainPID)" != "$old" ] && systemctl is-active --quiet hubiao; }
grows() { [ "$(hubiao --lang en status --data /var/lib/hubiao | sed -n 's/^delivered: //p')" -gt "$1" ]; }

if [ -e /opt/try/second ]; then
    say "the box was started again: agent and simulator run, nobody started them"
    wait_for 30 systemctl is-active hubiao hubiao-simulate@park
    [ "$(epoch)" = "$(cat /opt/try/epoch)" ]
    wait_for 60 grows "$(cat /opt/try/delivered)"
    epoch

    say "purge"
    dpkg --purge hubiao
    if systemctl is-active --quiet hubiao || systemctl is-active --quiet hubiao-simulate@park; then exit 1; fi
    for left in /opt/hubiao /etc/hubiao /var/lib/hubiao /run/hubiao* /etc/systemd/system/multi-user.target.wants/hubiao*; do
        if [ -e "$left" ] || [ -L "$left" ]; then echo "left: $left"; exit 1; fi
    done
    echo "stopped, nothing is left"
    touch /opt/try/passed-second
    exit
fi

say "install under $(systemctl --version | head -1)"
dpkg -i /opt/try/hubiao.deb
ports=/run/hubiao-simulate-park
sed -e "s|/dev/ttyRS485|$ports/ttyRS485|" -e 's|data: data|data: /var/lib/hubiao|' -e 's|interval: 15min|interval: 10s|' -e 's|zj-2024, zj-2026|zj-2026|' \
    -e 's|^mqtt: .*|mqtt: {url: "mqtt://127.0.0.1:1883", username: gw-1, password_file: /run/credentials/hubiao.service/mqtt.password}|' \
    /usr/share/doc/hubiao/samples/demo.yaml > /etc/hubiao/hubiao.yaml
cp /etc/hubiao/hubiao.yaml /etc/hubiao/park.yaml
echo secret > /etc/hubiao/mqtt.password
chmod 0600 /etc/hubiao/mqtt.password
chown root:hubiao /etc/hubiao/*.yaml
chmod 0640 /etc/hubiao/*.yaml
mkdir /etc/systemd/system/hubiao.service.d '/etc/systemd/system/hubiao-simulate@.service.d'
printf '[Service]\nLoadCredential=mqtt.password:/etc/hubiao/mqtt.password\n' > /etc/systemd/system/hubiao.service.d/try.conf
printf '[Service]\nExecStart=\nExecStart=/opt/hubiao/venv/bin/hubiao --lang en simulate --config /etc/hubiao/%%i.yaml --link-dir %s --broker\n' $ports > '/etc/systemd/system/hubiao-simulate@.service.d/try.conf'
systemctl daemon-reload
systemd-analyze verify --man=no /usr/lib/systemd/system/hubiao.service
systemctl enable --now hubiao-simulate@park
systemctl enable --now hubiao # returns when the agent said that it is ready
systemctl is-active hubiao hubiao-simulate@park
epoch > /opt/try/epoch
cat /opt/try/epoch

say "confined, with a password that only root can read, records at the broker"
grep -E '^(Uid|Groups|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$(shown MainPID)/status"
systemd-analyze security --no-pager hubiao.service | tail -1
wait_for 60 grows 20
stat -c '%A %U %n' /etc/hubiao/mqtt.password
sed -n 's/^VmHWM:[[:space:]]*/resident at most: /p' "/proc/$(shown MainPID)/status"

say "a billing period that is due is closed, by a child of low priority inside the same sandbox"
systemctl stop hubiao
echo '[["2026-06-30T16:00:00Z", "2026-07-31T16:00:00Z", "reading_revised"]]' > /var/lib/hubiao/closings.json
chown hubiao:hubiao /var/lib/hubiao/closings.json
systemctl start hubiao
closed() { [ "$(cat /var/lib/hubiao/closings.json)" = "[]" ]; }
wait_for 30 closed
if journalctl -u hubiao --no-pager -o cat | grep 'billing periods wait'; then exit 1; fi
echo closed

say "a faulty configuration: a reload keeps the old one, a start ends with 78 and is not tried again"
old=$(shown MainPID)
cp /etc/hubiao/hubiao.yaml /opt/try/good.yaml
sed -i 's/^park: .*/park: {id: demo-park, nonsense: 1}/' /etc/hubiao/hubiao.yaml
systemctl reload hubiao
sleep 5
[ "$(shown MainPID)" = "$old" ]
journalctl -u hubiao --no-pager -n 50 -o cat | grep -m1 nonsense
systemctl restart hubiao && exit 1
sleep 8 # longer than RestartSec
echo "exit $(shown ExecMainStatus), $(shown ActiveState), restarts: $(shown NRestarts)"
[ "$(shown ExecMainStatus) $(shown ActiveState) $(shown NRestarts)" = "78 failed 0" ]
cp /opt/try/good.yaml /etc/hubiao/hubiao.yaml
systemctl start hubiao

say "kill -9: started again"
old=$(shown MainPID)
kill -9 "$old"
wait_for 30 is_new
say "hung: the watchdog ends it, and it is started again"
printf '[Service]\nWatchdogSec=10\n' > /etc/systemd/system/hubiao.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart hubiao
old=$(shown MainPID)
sleep 12
[ "$(shown MainPID)" = "$old" ] # fed
kill -STOP "$old"
wait_for 60 is_new
journalctl -u hubiao --no-pager -o cat -n 60 | grep -i -m1 watchdog
[ "$(epoch)" = "$(cat /opt/try/epoch)" ]
echo "same epoch"

say "upgrade while it runs: the same program under a higher number"
dpkg-deb -R /opt/try/hubiao.deb /opt/try/newer
sed -i 's/^Version: .*/&+1/' /opt/try/newer/DEBIAN/control
for script in postinst prerm postrm; do sed -i 's|/venv-0|/venv-1.0|' /opt/try/newer/DEBIAN/$script; done
dpkg-deb --root-owner-group -b /opt/try/newer /opt/try/newer.deb > /dev/null
old=$(shown MainPID)
dpkg -i /opt/try/newer.deb
wait_for 30 is_new
readlink /opt/hubiao/venv
[ "$(epoch)" = "$(cat /opt/try/epoch)" ]
echo "runs, same epoch"
hubiao --lang en status --data /var/lib/hubiao | sed -n 's/^delivered: //p' > /opt/try/delivered
touch /opt/try/passed-first
