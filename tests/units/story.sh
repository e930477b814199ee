#!/usr/bin/env bash
# Inside the testbed: the units as installed, from provisioning to a run, and through every way to lose a daemon.
# Ends at the first thing that is not as it should be, and says which.
set -euo pipefail
units=(agentplane-control agentplane-projector agentplane-executor)
share=/opt/agentplane/share/agentplane
site=$(echo /opt/agentplane/lib/python3*/site-packages)

say() { printf '== %s\n' "$*"; }
wrong() {
  printf 'WRONG: %s\n' "$*"
  systemctl --no-pager --full status 'agentplane*' || true
  exit 1
}
# A state of the system that has no event of its own: look until it is there.
until_true() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || wrong "$what"
    sleep 0.05
  done
}
ap() { agentplane --state-dir /etc/agentplane "$@"; }
show() { systemctl show -P "$2" "$1"; }
serves_anew() { [ "$(show "$1" SubState)" = running ] && [ "$(show "$1" MainPID)" != "$2" ] && [ "$(show "$1" MainPID)" != 0 ]; }
uid_of() { stat -c %u "/proc/$1"; }
run_noop() { ap run "$share/bundles/noop" --wait | tail -n 2; }

# A bundle of its own: its name, its backend, its lane, its script.
make_bundle() {
  rm -rf "/root/bundles" && mkdir -p /root/bundles && cp -r "$share/bundles/noop" /root/bundles/noop
  sed -i "s/\"name\": \"noop\"/\"name\": \"$1\"/; s/\"microvm\"/\"$2\"/; s/\"staging\"/\"$3\"/" \
    /root/bundles/noop/bundle.json
  printf '#!/bin/sh\n%s\n' "$4" >/root/bundles/noop/smoke.sh
}
# The state, exit code and message of the run of a bundle, by the bundle's name.
ending_of() {
  ap get runs -o json | python3 -c '
import json, sys
run = next(run for run in json.load(sys.stdin) if run["bundle"].startswith(sys.argv[1] + "@"))
print(run["state"], run["outcome"], run["exitCode"])' "$1"
}
# The guest's QEMU; an executor that probes its host asks QEMU for its version, and has a probe booted for a moment.
qemu() {
  local pid words
  for pid in $(pgrep -x qemu-system-x86); do
    words=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || continue
    [[ -z $words || $words == *agentplane.probe* ]] || ! grep -qs agentplane-guest@ "/proc/$pid/cgroup" || echo "$pid"
  done
}

say "a unit without its credentials does not start, and says what is missing"
install -d /etc/agentplane
systemctl start agentplane-executor 2>/dev/null && wrong "the executor started without keys"
journalctl -u agentplane-executor --no-pager | grep -q 'Failed to set up credentials' || wrong "nothing said of credentials"
systemctl stop "${units[@]}" agentplane-bus
systemctl reset-failed

say "provisioning, twice: what exists is kept"
"$share/install-debian.sh" provision
before=$(sha256sum /etc/agentplane/keys/*)
"$share/install-debian.sh" provision
[ "$before" = "$(sha256sum /etc/agentplane/keys/*)" ] || wrong "a second provisioning made other keys"
for file in /etc/agentplane/keys/*; do
  case $file in *.pub) ;; *) [ "$(stat -c %a "$file")" = 600 ] || wrong "$file is not private" ;; esac
done

say "everything starts"
systemctl start agentplane-guest.socket agentplane-process.socket nix-daemon.socket
systemctl start agentplane-bus agentplane-database "${units[@]}"
for unit in "${units[@]}" agentplane-bus; do [ "$(show "$unit" SubState)" = running ] || wrong "$unit does not run"; done
for unit in "${units[@]}" agentplane-bus; do
  [ "$(uid_of "$(show "$unit" MainPID)")" != 0 ] || wrong "$unit runs as root"
done

[ "$(show agentplane-database Result)" = success ] || wrong "the database was not prepared"
[ -z "$(find /run/agentplane-database -type f)" ] || wrong "passwords are left in /run"
systemctl restart agentplane-database
journalctl -u agentplane-database --no-pager | tail -n 3 | grep -q 'migrated: nothing' || wrong "preparing is not repeatable"

say "only the executor has guests started"
for socket in guest process; do
  runuser -u postgres -- python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' \
    "/run/agentplane/$socket.sock" 2>/root/connect.log && wrong "$socket.sock is open to others"
  grep -q PermissionError /root/connect.log || wrong "$(cat /root/connect.log)"
done

say "what breaks out of QEMU finds no other run, no network, and no place to write to"
setpriv --reuid agentplane-executor --regid agentplane-guest --clear-groups /opt/agentplane/bin/python3 - <<'EOF' >/root/breakout.log
from pathlib import Path
from agentplane.runners import trial
from agentplane.runners.host import Host
looks = r"""
found() { echo "FOUND $*"; }
[ -e /var/lib ] && found the state of services
[ -e /run/agentplane ] && found sockets
ls /etc/agentplane && found keys
[ -e "/proc/$PPID" ] && found its supervisor
for place in / /usr /nix /dev /dev/shm /tmp /var /var/tmp /run; do touch $place/x && found a place to write to: $place; done
unshare -U true && found namespaces
python3 -c 'import socket; socket.socket(socket.AF_INET)' && found a network
echo looked
"""
with trial._directory(Host(state_dir=Path("/var/lib/agentplane-executor"))) as directory:
    trial._run(directory, Path("/run/agentplane/guest.sock"), trial._launch("breakout", ["/bin/sh", "-c", looks], 256, 20.0))
    print((directory / "console.log").read_text())
EOF
grep -q '^looked$' /root/breakout.log || wrong "nothing looked: $(cat /root/breakout.log)"
grep FOUND /root/breakout.log && wrong "a guest's unit is not closed"

say "a bundle runs through, its guest as nobody in particular"
run_noop

say "a sandboxed process runs through, in a unit of its own"
# shellcheck disable=SC2016
make_bundle boxed lima-process dev 'grep -q "^CapEff:.0*$" /proc/self/status && [ ! -e /etc/agentplane ]'
ap run /root/bundles/noop --wait >/root/boxed.log 2>&1 || wrong "the process failed: $(cat /root/boxed.log)"
journalctl -u 'agentplane-process@*' --no-pager | grep -q 'agentplane-process@.*Deactivated successfully' ||
  wrong "it did not run in its unit"

say "evidence of the run verifies"
name=$(ap get runs -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["name"])')
ap evidence export "$name" --to "/root/$name" >/dev/null
ap evidence verify "/root/$name" --keys /etc/agentplane/trusted | tail -n 1

say "killed -9, each unit comes back"
for unit in agentplane-bus "${units[@]}"; do
  pid=$(show "$unit" MainPID)
  kill -9 "$pid"
  until_true "$unit does not come back after kill -9" serves_anew "$unit" "$pid"
done
pid=$(pgrep -o -u postgres -x postgres)
kill -9 "$pid"
systemctl reset-failed postgresql@15-main 2>/dev/null || true
systemctl restart postgresql@15-main
run_noop

say "a stalled daemon misses its watchdog and is started again"
for unit in "${units[@]}"; do
  install -d "/run/systemd/system/$unit.service.d"
  printf '[Service]\nWatchdogSec=2s\n' >"/run/systemd/system/$unit.service.d/watchdog.conf"
done
systemctl daemon-reload
systemctl restart "${units[@]}"
for unit in "${units[@]}"; do
  pid=$(show "$unit" MainPID)
  kill -STOP "$pid"
  until_true "$unit is not restarted by its watchdog" serves_anew "$unit" "$pid"
  journalctl -u "$unit" --no-pager | grep -q 'Watchdog timeout' || wrong "$unit was restarted, but not by its watchdog"
done
rm -r /run/systemd/system/agentplane-*.service.d
systemctl daemon-reload
systemctl restart "${units[@]}"

say "a guest outlives its executor: upgraded, then killed, and adopted each time"
make_bundle patient microvm staging 'sleep 15; echo patient'
ap run /root/bundles/noop --wait >/root/patient.log 2>&1 &
waiting=$!
guest_runs() { [ -n "$(qemu)" ]; }
until_true "no guest started" guest_runs
guest=$(qemu)
[ "$(uid_of "$guest")" -ge 61184 ] || wrong "QEMU runs as $(uid_of "$guest"), not as a user of its own"
grep -q '^CapEff:[[:space:]]*0*$' "/proc/$guest/status" || wrong "QEMU has capabilities"
grep -q '^Seccomp:[[:space:]]*2' "/proc/$guest/status" || wrong "QEMU has no system call filter"
grep -q '/agentplane-guests.slice/agentplane-guest@.*\.service' "/proc/$guest/cgroup" || wrong "QEMU is not in its unit"
[ -z "$(ls -A "/proc/$guest/root/var/lib" 2>/dev/null)" ] || wrong "QEMU sees the state of its host's services"
# an upgrade: other files of the same program, other files of the same units
for package in agentplane services; do
  cp -a "$site/$package" "$site/$package.new" && rm -r "${site:?}/$package" && mv "$site/$package.new" "$site/$package"
done
for unit in /etc/systemd/system/agentplane-*; do cp -a "$unit" "$unit.new" && mv "$unit.new" "$unit"; done
systemctl daemon-reexec
systemctl restart agentplane-guest.socket
systemctl restart agentplane-executor
[ "$(qemu)" = "$guest" ] || wrong "the guest did not survive the upgrade of its executor"
pid=$(show agentplane-executor MainPID)
kill -9 "$pid"
until_true "the executor does not come back" serves_anew agentplane-executor "$pid"
[ "$(qemu)" = "$guest" ] || wrong "the guest did not survive the killing of its executor"
wait "$waiting" || wrong "the adopted run failed: $(cat /root/patient.log)"
tail -n 2 /root/patient.log
[ "$(ending_of patient)" = "succeeded exited 0" ] || wrong "patient: $(ending_of patient)"
grep -q 'epoch 1' /root/patient.log && ! grep -q 'epoch 2' /root/patient.log || wrong "it was placed more than once"

if grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
  say "limits bite: a memory hog is killed, and told as such"
  make_bundle hog lima-process dev 'exec tail /dev/zero'
  ap run /root/bundles/noop --wait >/root/hog.log 2>&1 && wrong "a hog succeeded"
  [ "$(ending_of hog)" = "failed oom-killed -1" ] || wrong "hog: $(ending_of hog)"
else
  say "limits: not here, this host's control groups do not let a unit's user set any"
fi

say "stopped, nothing is left of guests"
until_true "a guest's unit is left" bash -c '! systemctl list-units --no-legend "agentplane-guest@*" "agentplane-process@*" | grep -q .'
systemctl stop "${units[@]}"
for unit in "${units[@]}"; do [ "$(show "$unit" Result)" = success ] || wrong "$unit ended with $(show "$unit" Result)"; done

say "scores of the units as they are loaded"
systemd-analyze security --no-pager | grep agentplane || true
say "all of it"
