#!/bin/sh
# The reference smoke check: proves what a guest promises its workload, and fails by name where it does not hold.
# Writes result.json to the artifact directory; the same guest gives the same bytes (no times, no random values).
set -u
target=/mnt/artifacts # as bundle.json mounts it
failures=0 checks=""

# NAME COMMAND…: one promise, kept or broken.
check() {
  name=$1
  shift
  if "$@"; then kept=true; else
    kept=false
    failures=$((failures + 1))
    echo "FAIL $name"
  fi
  [ $kept = false ] || echo "ok   $name"
  checks="$checks${checks:+,}\"$name\":$kept"
}

artifact_directory_is_a_mount() { grep -q " $target " /proc/self/mounts; }
artifact_directory_is_writable() { echo probe >"$target/.probe" && [ "$(cat "$target/.probe")" = probe ] && rm "$target/.probe"; }
artifact_directory_is_what_is_collected() {
  echo probe >"$target/.probe" && [ -f "$AGENTPLANE_ARTIFACTS/.probe" ] && rm "$AGENTPLANE_ARTIFACTS/.probe"
}
kernel_is_the_guest_kernel() { [ "$(uname -s)" = Linux ] && [ -d /sys/module/virtio_blk ] && ! [ -d /lib/modules ]; }
payload_is_read_only() { ! touch "$PWD/written" 2>/dev/null && grep -q ' /nix/store erofs ro,' /proc/self/mounts; }
user_is_unprivileged() { [ "$(id -u)" = 1000 ] && [ "$(sed -n 's/^CapEff:\t*//p' /proc/self/status)" = 0000000000000000 ]; }
no_new_privileges() { [ "$(sed -n 's/^NoNewPrivs:\t*//p' /proc/self/status)" = 1 ]; }
network_is_none() { [ "$(ls /sys/class/net)" = lo ]; }
cpus_are_as_configured() { [ "$(nproc)" = "$AGENTPLANE_VCPU" ]; }

# The kernel keeps some for itself: what it reports is below the machine's memory, yet most of it.
memory_is_as_configured() {
  total_mib=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
  [ "$total_mib" -le "$AGENTPLANE_MEMORY_MIB" ] && [ "$total_mib" -ge $((AGENTPLANE_MEMORY_MIB * 2 / 3)) ]
}
artifacts_are_bounded() {
  free_mib=$(df -m "$target" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)
  [ "$free_mib" -lt "$AGENTPLANE_MEMORY_MIB" ]
}
run_is_named() { [ -n "$AGENTPLANE_RUN_ID" ] && [ -n "$AGENTPLANE_TENANT" ]; }
events_are_heard() { echo "smoke: checking" >"$AGENTPLANE_EVENTS"; }

for promise in artifact_directory_is_a_mount artifact_directory_is_writable artifact_directory_is_what_is_collected \
  kernel_is_the_guest_kernel payload_is_read_only user_is_unprivileged no_new_privileges network_is_none \
  cpus_are_as_configured memory_is_as_configured artifacts_are_bounded run_is_named events_are_heard; do
  check $promise $promise
done

printf '{"bundle":"example-agent","kernel":"%s","memoryMiB":%d,"vcpus":%d,"failures":%d,"checks":{%s}}\n' \
  "$(uname -r)" "$AGENTPLANE_MEMORY_MIB" "$AGENTPLANE_VCPU" $failures "$checks" >"$target/result.json" || exit 2
[ $failures -eq 0 ] || echo "$failures promises broken" >&2
[ $failures -eq 0 ]
