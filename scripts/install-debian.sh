#!/usr/bin/env bash
# Installs agentplane on a Debian host: packages by apt, the program by pip into /opt/agentplane, the very units of
# services/units. Repeatable; also the way to upgrade. As root.
#   install-debian.sh install     files only: what a package would bring (works in a chroot, needs no running systemd)
#   install-debian.sh provision   keys, users, passwords and configuration in /etc/agentplane, for one host that is
#                                 control host and executor; what exists is kept
#   install-debian.sh             both, then starts everything
# One host of several, each with keys of its own and TLS between them; `provision` before the role to provision only:
#   install-debian.sh control --address NAME --executor NAME...    the database, the bus, control, projector
#   install-debian.sh executor --name NAME --control-address NAME --trust DIR [--cache URL] [--join-token FILE]
#                                 DIR is a copy of the control host's /etc/agentplane/trusted
# AGENTPLANE_WHEELS=DIR installs from wheels in that directory, without an index.
set -euo pipefail
source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=/opt/agentplane
packages=(nix-bin nix-setup-systemd qemu-system-x86 busybox-static erofs-utils cpio lz4 postgresql bubblewrap util-linux
  python3-venv python3.11-minimal libpython3.11-stdlib systemd systemd-sysv dbus)
control_units=(agentplane-bus agentplane-database agentplane-control agentplane-projector)
executor_units=(agentplane-executor)
# where the executor has guests started and built; an upgrade leaves them and what runs behind them alone
sockets=(agentplane-guest.socket agentplane-process.socket)

step() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2
  exit 8
}

install_packages() {
  local missing
  read -ra missing <<<"$(for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
  done)"
  [ ${#missing[@]} -gt 0 ] || return 0
  step "apt-get install ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install failed" "apt-get update, then run this again"
}

install_program() {
  step "the program in $prefix"
  [ -x "$prefix/bin/python3" ] || python3 -m venv "$prefix"
  if [ -n "${AGENTPLANE_WHEELS:-}" ]; then
    # first the program, by force: the same version number may be another build; then what that build needs
    "$prefix/bin/pip" install -q --disable-pip-version-check --no-index --find-links "$AGENTPLANE_WHEELS" \
      --force-reinstall --no-deps agentplane
    "$prefix/bin/pip" install -q --disable-pip-version-check --no-index --find-links "$AGENTPLANE_WHEELS" 'agentplane[stack]'
  else
    "$prefix/bin/pip" install -q --disable-pip-version-check "$source_root[stack]"
  fi
  mkdir -p "$prefix/share/agentplane"
  for part in vm bundles; do
    rm -rf "$prefix/share/agentplane/$part"
    cp -r "$source_root/$part" "$prefix/share/agentplane/$part"
  done
  install -m 0644 "$source_root"/scripts/debian/provision*.py "$prefix/share/agentplane/"
  install -m 0755 "${BASH_SOURCE[0]}" "$prefix/share/agentplane/install-debian.sh"  # provisioning needs no checkout
  # not among pip's own programs: only the unit starts it
  printf '#!%s\nimport sys\nfrom agentplane.store.initialise import main\nsys.exit(main())\n' "$prefix/bin/python3" \
    >"$prefix/bin/agentplane-database"
  chmod 0755 "$prefix/bin/agentplane-database"
  local name
  for name in agentplane agentplane-{database,control,projector,executor,guest,prefetch}; do
    ln -sf "$prefix/bin/$name" "/usr/local/bin/$name"
  done
}

install_units() {
  step "the units in /etc/systemd/system"
  install -m 0644 "$source_root"/services/units/* "$source_root"/scripts/debian/*.service /etc/systemd/system/
  install -D -m 0644 "$source_root/scripts/debian/nix-daemon.conf" /etc/systemd/system/nix-daemon.service.d/agentplane.conf
  install -D -m 0644 "$source_root/scripts/debian/agentplane.sysusers.conf" /etc/sysusers.d/agentplane.conf
  systemd-sysusers
  mkdir -p /etc/agentplane
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

fetch_kernel() {
  step "the guests' kernel"
  sh "$prefix/share/agentplane/vm/fetch-kernel.sh" "$prefix/share/agentplane/kernel" >/dev/null
}

provision() {
  step "keys, users, passwords and configuration in /etc/agentplane"
  case $role in
  both) "$prefix/bin/python3" "$prefix/share/agentplane/provision.py" /etc/agentplane ;;
  *) "$prefix/bin/python3" "$prefix/share/agentplane/provision_fleet.py" "$role" "$@" ;;
  esac
  [ ${#others[@]} = 0 ] || systemctl disable -q "${others[@]}"
  systemctl enable -q "${units[@]}" nix-daemon.socket
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
  [ "$role" != executor ] || systemctl try-restart nix-daemon.service  # it was told whose guests to believe
}

start() {
  step "starting ${units[*]}"
  # sockets first, and never anew: what runs behind them goes on
  [ "$role" = control ] || systemctl start "${sockets[@]}" nix-daemon.socket
  systemctl restart "${daemons[@]}"
}

# Which units this host has, by its role, and which it has not.
choose_units() {
  local executors=("${sockets[@]}" "${executor_units[@]}" agentplane-prefetch.timer)
  case $role in
  control) daemons=("${control_units[@]}") units=("${control_units[@]}") others=("${executors[@]}") ;;
  executor) daemons=("${executor_units[@]}") units=("${executors[@]}") others=("${control_units[@]}") ;;
  both) daemons=("${control_units[@]}" "${executor_units[@]}") units=("${control_units[@]}" "${executors[@]}") others=() ;;
  *) die "unknown: $role" "install, provision, control, executor, or nothing for all of it" ;;
  esac
}

install_all() {
  install_packages
  install_program
  install_units
  fetch_kernel
}

[ "$(id -u)" = 0 ] || die "only root installs" "sudo $0"
what=all
case ${1:-} in
install | provision)
  what=$1
  shift
  ;;
esac
role=${1:-both}
[ $# = 0 ] || shift
choose_units
case $what in
install) install_all ;;
provision) provision "$@" ;;
all)
  install_all
  provision "$@"
  start
  ;;
esac
