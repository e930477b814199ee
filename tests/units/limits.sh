#!/usr/bin/env bash
# Inside a virtual machine with control groups version 2: the units' limits as the kernel has them, and a guest for each
# limit that it goes beyond. Ends at the first thing that is not as it should be, and says which.
set -euo pipefail
share=/opt/agentplane/share/agentplane
groups=/sys/fs/cgroup/agentplane.slice

say() { printf '== %s (%s s)\n' "$*" "$SECONDS"; }
wrong() {
  printf 'WRONG: %s\n' "$*"
  systemctl --no-pager --full status 'agentplane*' || true
  exit 1
}
ap() { agentplane --state-dir /etc/agentplane "$@"; }

# A sandboxed process of a bundle: its name, what it runs.
make_bundle() {
  rm -rf /root/bundles && mkdir -p /root/bundles && cp -r "$share/bundles/noop" /root/bundles/noop
  sed -i "s/\"name\": \"noop\"/\"name\": \"$1\"/; s/\"microvm\"/\"lima-process\"/; s/\"staging\"/\"dev\"/" /root/bundles/noop/bundle.json
  printf '#!/bin/sh\n%s\n' "$2" >/root/bundles/noop/smoke.sh
}
# The state, outcome and exit code of the run of a bundle, by the bundle's name.
ending_of() {
  ap get runs -o json | python3 -c '
import json, sys
run = next(run for run in json.load(sys.stdin) if run["bundle"].startswith(sys.argv[1] + "@"))
print(run["state"], run["outcome"], run["exitCode"])' "$1"
}
# What the kernel holds a unit to: its group's file, the value.
held_to() {
  [ "$(cat "$groups/$1")" = "$2" ] || wrong "$1 is $(cat "$groups/$1"), not $2"
}

say "one host, which offers processes: a guest in an emulated machine's emulation would take minutes"
"$share/install-debian.sh" provision
python3 - <<'PYTHON'
import json
path = "/etc/agentplane/executor.json"
document = json.load(open(path)) | {"backends": ["process"]}
json.dump(document, open(path, "w"))
PYTHON
systemctl start agentplane-guest.socket agentplane-process.socket nix-daemon.socket
systemctl start agentplane-bus agentplane-database agentplane-control agentplane-projector agentplane-executor

say "units have their limits"
held_to agentplane-control.service/memory.max $((512 << 20))
held_to agentplane-control.service/pids.max 64
held_to agentplane-executor.service/memory.max $((4 << 30))
held_to agentplane-executor.service/pids.max 512
held_to agentplane-bus.service/memory.max $((1 << 30))

say "a process that does nothing wrong"
make_bundle modest 'echo modest'
ap run /root/bundles/noop --wait >/root/modest.log 2>&1 || wrong "it failed: $(cat /root/modest.log)"

say "a memory hog is killed, and told as such: not as a failure of its own"
make_bundle hog 'exec tail /dev/zero'
ap run /root/bundles/noop --wait >/root/hog.log 2>&1 && wrong "a hog succeeded"
[ "$(ending_of hog)" = "failed oom-killed -1" ] || wrong "hog: $(ending_of hog): $(cat /root/hog.log)"
journalctl -k --no-pager | grep -q 'Memory cgroup out of memory' || wrong "the kernel killed nobody"

say "a bundle that starts processes without end gets no further than its group"
make_bundle rabbit 'n=0; while sleep 30 & do n=$((n + 1)); [ $n -lt 5000 ] || exit 9; done; exit 3'
ap run /root/bundles/noop --wait >/root/rabbit.log 2>&1 && wrong "a fork bomb succeeded"
case "$(ending_of rabbit)" in *" exited 9") wrong "5000 processes were started" ;; esac

say "a unit beyond its limit is killed by it, says so, and is back; its neighbours go on"
executor=$(systemctl show -P MainPID agentplane-executor)
control=$(systemctl show -P MainPID agentplane-control)
systemctl set-property --runtime agentplane-control MemoryMax=8M
deadline=$((SECONDS + 60))
until journalctl -u agentplane-control --no-pager | grep -q "Failed with result 'oom-kill'"; do
  [ "$SECONDS" -lt "$deadline" ] || wrong "control outlived 8 MiB"
  sleep 0.2
done
systemctl set-property --runtime agentplane-control MemoryMax=512M
until [ "$(systemctl show -P SubState agentplane-control)" = running ] && [ "$(systemctl show -P MainPID agentplane-control)" != "$control" ]; do
  [ "$SECONDS" -lt $((deadline + 60)) ] || wrong "control does not come back"
  sleep 0.2
done
[ "$(systemctl show -P MainPID agentplane-executor)" = "$executor" ] || wrong "the executor went along"

say "after all that, a run goes through"
make_bundle after 'echo after'
ap run /root/bundles/noop --wait >/root/after.log 2>&1 || wrong "it failed: $(cat /root/after.log)"
say "all of it"
