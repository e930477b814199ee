#!/usr/bin/env bash
# A Debian host under a real systemd (systemd-nspawn --boot), with agentplane installed as scripts/install-debian.sh does.
#   testbed.sh build             the cached root: Debian by debootstrap, this checkout's wheel, the units
#   testbed.sh run FILE OUTDIR   boots a throwaway copy, runs FILE with bash inside, fills OUTDIR/{stdout,journal,rc}
#   testbed.sh                   build, then the story of tests/units/story.sh
#   testbed.sh hosts [quick]     build, then the story of tests/units/hosts: a control host and two executor hosts, each a
#                                machine with an address of its own, joined by a bridge that ends with them
#   testbed.sh limits            build, then tests/units/limits.sh in a virtual machine: where control groups enforce
# Exit status: the file's own; 125 when the testbed itself failed. As root; no network to this machine. Containers are not
# for resource limits: nspawn on a host with cgroups version 1 takes them and does not enforce them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${AGENTPLANE_TESTBED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/agentplane/testbed}
limit_s=${AGENTPLANE_TESTBED_LIMIT_S:-300}
# libdbi-perl: debootstrap does not resolve the virtual package by which nix-bin's dependencies ask for it
packages=systemd,systemd-sysv,systemd-container,dbus,libpam-systemd,iproute2,ca-certificates,python3,python3-venv,libdbi-perl,nix-bin
packages+=,qemu-system-x86,busybox-static,erofs-utils,cpio,lz4,postgresql,bubblewrap,util-linux,python3.11-minimal
# libfaketime: a host whose clock is off (a container has no clock of its own)
packages+=,libpython3.11-stdlib,procps,nix-setup-systemd,libfaketime

# shellcheck source=scripts/testbed-vm.sh
source "$root/scripts/testbed-vm.sh"

step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() {
  printf 'testbed: %s\n' "$*" >&2
  exit 125
}

debian() {
  [ "$(cat "$cache/debian.packages" 2>/dev/null)" = "$packages" ] && return 0
  step "Debian in $cache/debian (debootstrap, once)"
  rm -rf --one-file-system "$cache/debian"
  debootstrap --variant=minbase --include="$packages" bookworm "$cache/debian" >"$cache/debootstrap.log" 2>&1 ||
    fail "debootstrap failed, see $cache/debootstrap.log"
  local unit
  for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer \
    getty@tty1.service console-getty.service systemd-timesyncd.service systemd-networkd-wait-online.service; do
    ln -sf /dev/null "$cache/debian/etc/systemd/system/$unit"
  done
  rm -rf "$cache"/debian/var/cache/apt/archives/*.deb
  : >"$cache/debian/etc/machine-id"
  echo "$packages" >"$cache/debian.packages"
}

# The root's own nspawn, by its own libraries: this machine needs none.
nspawn() {
  local lib="$cache/debian/usr/lib/x86_64-linux-gnu"
  "$cache/debian/usr/lib64/ld-linux-x86-64.so.2" --library-path "$lib:$lib/systemd" "$cache/debian/usr/bin/systemd-nspawn" "$@"
}

nspawn_within() {
  export -f nspawn
  cache=$cache timeout -k 5 "$limit_s" bash -c 'nspawn "$@"' nspawn "$@"
}

sources() { git -C "$root" ls-files -z -co --exclude-standard -- agentplane services vm bundles scripts pyproject.toml README.md; }
stamp() { (cd "$root" && sources | xargs -0 sha256sum 2>/dev/null && cat "$cache/debian.packages") | sha256sum; }

installed() {
  [ "$(cat "$cache/installed" 2>/dev/null)" = "$(stamp)" ] && return 0
  local tree="$cache/source" pip=${AGENTPLANE_VENV:-$root/.venv}/bin/pip wanted
  wanted=$(stamp)
  step "this checkout's wheel, and what it needs (pip)"
  rm -rf "$tree" && mkdir -p "$tree" "$cache/wheels"
  (cd "$root" && sources | xargs -0 cp --parents -t "$tree")
  rm -f "$cache"/wheels/agentplane-*.whl
  "$pip" wheel -q --disable-pip-version-check -w "$cache/wheels" -f "$cache/wheels" "$tree[stack]" \
    2>"$cache/pip.log" ||
    fail "pip could not build or fetch the wheels, see $cache/pip.log"
  step "the guests' kernel"
  sh "$root/vm/fetch-kernel.sh" "$cache/kernel" >/dev/null || fail "the kernel cannot be fetched"
  step "installing in the root"
  local share="$cache/debian/opt/agentplane/share/agentplane"
  rm -rf "$tree/build" "$tree"/*.egg-info
  mkdir -p "$share/kernel" && cp "$cache"/kernel/*.deb "$share/kernel/"
  nspawn -q -D "$cache/debian" --register=no --keep-unit --private-network --console=pipe \
    --bind-ro="$tree":/mnt --bind-ro="$cache/wheels":/srv --setenv=AGENTPLANE_WHEELS=/srv \
    /mnt/scripts/install-debian.sh install >"$cache/install.log" 2>&1 </dev/null ||
    fail "install-debian.sh failed, see $cache/install.log"
  echo "$wanted" >"$cache/installed"
}

runner() {
  cat >"$cache/debian/etc/systemd/system/testbed.service" <<'UNIT'
[Unit]
Description=Testbed: runs one file, then powers off
After=basic.target
ConditionPathExists=/run/testbed/file
[Service]
Type=exec
ExecStart=/bin/bash -c 'bash /run/testbed/file >/run/testbed/out/stdout 2>&1 </dev/null; echo $? >/run/testbed/out/rc; \
  journalctl -o short-monotonic --no-pager >/run/testbed/out/journal 2>&1; systemctl poweroff --no-block --force'
UNIT
  mkdir -p "$cache/debian/etc/systemd/system/multi-user.target.wants"
  ln -sf ../testbed.service "$cache/debian/etc/systemd/system/multi-user.target.wants/"
  cat >"$cache/debian/etc/systemd/system/testbed-vm.service" <<'UNIT'
[Unit]
Description=Testbed in a virtual machine: runs one file, writes what it said to a disk, then powers off
After=basic.target
ConditionPathExists=/srv/testbed/file
[Service]
Type=exec
WorkingDirectory=/srv/testbed
ExecStart=/bin/bash -c 'bash file >stdout 2>&1 </dev/null; echo $? >rc; journalctl -o short-monotonic --no-pager >journal 2>&1; \
  tar -cf /dev/vdb stdout journal rc; sync; systemctl poweroff --no-block --force'
UNIT
  ln -sf ../testbed-vm.service "$cache/debian/etc/systemd/system/multi-user.target.wants/"
}

build() {
  [ "$(id -u)" = 0 ] || fail "only root can boot a container"
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
  debian
  installed
  runner
  flock -s 9 # nobody changes the root under a story; another story may have it, too
}

run() {
  local file=$1 out=$2 rc=0
  mkdir -p "$out"
  rm -f "$out"/{rc,stdout,journal,console}
  # the sandboxes of Nix and bubblewrap mount a /proc; over a covered one the kernel does not let them
  SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes nspawn_within -q -D "$cache/debian" --boot \
    --volatile=overlay --register=no --keep-unit --private-network --console=pipe \
    --bind-ro="$(realpath "$file")":/run/testbed/file --bind="$(realpath "$out")":/run/testbed/out \
    >"$out/console" 2>&1 </dev/null || rc=$?
  [ -s "$out/rc" ] || fail "the container ended with $rc and no answer, see $out/console"
  return "$(cat "$out/rc")"
}

# Three machines in namespaces of their own: what they are made of is gone when the story's first process is.
hosts() {
  local out rc=0
  out=$(mktemp -d "${TMPDIR:-/tmp}/agentplane-hosts.XXXXXX")
  (cd "$root" && exec unshare --net --mount --pid --fork --kill-child --mount-proc \
    "${AGENTPLANE_VENV:-$root/.venv}/bin/python" -m tests.units.hosts.story "$cache/debian" "$out" "$@") &
  # shellcheck disable=SC2064 # as of now
  trap "kill -KILL $! 2>/dev/null; wait; forget_groups ${out##*/}; exit 125" INT TERM
  wait $! || rc=$?
  trap - INT TERM
  forget_groups "${out##*/}"
  if [ "$rc" = 0 ]; then rm -r "$out"; else printf 'testbed: the journals are in %s\n' "$out" >&2; fi
  return "$rc"
}

forget_groups() {
  local hierarchy
  for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ ! -d "$hierarchy/$1" ] || find "$hierarchy/$1" -depth -type d -exec rmdir {} +
  done
}

case ${1:-story} in
build) build ;;
run) run "$2" "$3" ;;
story)
  build
  out=$(mktemp -d)
  rc=0
  run "$root/tests/units/story.sh" "$out" || rc=$?
  cat "$out/stdout"
  if [ "$rc" = 0 ]; then rm -r "$out"; else printf 'testbed: the journal is in %s\n' "$out" >&2; fi
  exit "$rc"
  ;;
hosts)
  shift
  build
  hosts "$@"
  ;;
limits)
  build
  disk
  out=$(mktemp -d)
  rc=0
  run_vm "$root/tests/units/limits.sh" "$out" || rc=$?
  cat "$out/stdout"
  if [ "$rc" = 0 ]; then rm -r "$out"; else printf 'testbed: the journal is in %s\n' "$out" >&2; fi
  exit "$rc"
  ;;
*) fail "usage: $0 [build | run FILE OUTDIR | hosts [quick] | limits]" ;;
esac
