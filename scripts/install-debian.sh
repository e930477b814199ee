#!/usr/bin/env bash
# Installs agentplane on a Debian host: packages by apt, the program by pip into /opt/agentplane, the very units of
# services/units. Repeatable; also the way to upgrade. As root.
#   install-debian.sh install     files only: what a package would bring (works in a chroot, needs no running systemd)
#   install-debian.sh provision   keys, users, passwords and configuration in /etc/agentplane, for one host that is
#                                 control host and executor; what exists is kept
#   install-debian.sh             both, then starts everything
# AGENTPLANE_WHEELS=DIR installs from wheels in that directory, without an index.
set -euo pipefail
source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=/opt/agentplane
packages=(nix-bin nix-setup-systemd qemu-system-x86 busybox-static erofs-utils cpio lz4 postgresql bubblewrap util-linux
  python3-venv python3.11-minimal libpython3.11-stdlib systemd systemd-sysv dbus)
units=(agentplane-bus agentplane-database agentplane-control agentplane-projector agentplane-executor)
# where the executor has guests started and built; an upgrade leaves them and what runs behind them alone
sockets=(agentplane-guest.socket agentplane-process.socket nix-daemon.socket)

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
  install -m 0644 "$source_root/scripts/debian/provision.py" "$prefix/share/agentplane/provision.py"
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
  systemctl enable -q "${units[@]}" "${sockets[@]}" agentplane-prefetch.timer
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

fetch_kernel() {
  step "the guests' kernel"
  sh "$prefix/share/agentplane/vm/fetch-kernel.sh" "$prefix/share/agentplane/kernel" >/dev/null
}

provision() {
  step "keys, users, passwords and configuration in /etc/agentplane"
  "$prefix/bin/python3" "$prefix/share/agentplane/provision.py" /etc/agentplane
}

[ "$(id -u)" = 0 ] || die "only root installs" "sudo $0"
case ${1:-all} in
install) install_packages && install_program && install_units && fetch_kernel ;;
provision) provision ;;
all)
  install_packages && install_program && install_units && fetch_kernel
  provision
  step "starting ${units[*]}"
  systemctl start "${sockets[@]}"
  systemctl restart "${units[@]}"
  ;;
*) die "unknown: $1" "install, provision, or nothing for both" ;;
esac
