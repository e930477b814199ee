#!/usr/bin/env bash
# Sets up what this repository needs on a Debian-like machine, or says exactly what to install. Idempotent.
# Sourced by the other scripts: afterwards $root is the repository and $venv/bin has our programs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${AGENTPLANE_VENV:-$root/.venv}
packages=(nix-bin qemu-system-x86 busybox-static erofs-utils cpio lz4 postgresql bubblewrap util-linux systemd
  python3.11-minimal libpython3.11-stdlib)

step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  hint: %s\n' "$2" >&2
  exit 8
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
  done
}

install_packages() {
  command -v dpkg-query >/dev/null || die "this is no Debian-like machine" "use Nix with nixpkgs: nix run .#demo"
  local missing
  read -ra missing <<<"$(missing_packages)"
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "missing packages, and only root may install them" "sudo apt-get install -y ${missing[*]}"
  step "installing ${missing[*]} (apt)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || die "apt-get update failed" "check the network, then run this again"
  # postgresql must not start a cluster of its own: ours lives in the state directory
  mkdir -p /etc/postgresql-common/createcluster.d
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/agentplane.conf
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install failed" "apt-get install -y ${missing[*]}"
}

install_python() {
  local python=${PYTHON:-python3} wanted
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python 3.11 or newer is needed" "install it, and name it: PYTHON=/path/to/python3 $0"
  wanted=$(sha256sum "$root/pyproject.toml" | cut -c1-64)
  [ "$(cat "$venv/.agentplane" 2>/dev/null)" = "$wanted" ] && return 0
  step "making the Python environment in ${venv#"$root/"} (pip)"
  if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || die "python3 has no venv module" "sudo apt-get install -y python3-venv"
    apt-get install -y -qq python3-venv >/dev/null && "$python" -m venv "$venv"
  fi
  "$venv/bin/pip" install -q --disable-pip-version-check -e "${root}[stack,dev]" ||
    die "pip could not install what pyproject.toml names" "check the network, then run this again"
  echo "$wanted" >"$venv/.agentplane"
}

install_packages
install_python
export PATH="$venv/bin:$PATH"
