#!/usr/bin/env bash
# Judges the configuration that this host just got: when our units serve, it is the one to go back to; when they do not
# in time, the last one that did is switched to again. Started by agentplane-release.service after every switch.
#   reverse.sh PATIENCE_S UNIT…
# GOOD holds the last good configuration, as a root that the garbage collector knows; CURRENT is the running one.
set -euo pipefail
good=${GOOD:-/nix/var/nix/gcroots/agentplane-good-release}
current=$(readlink -f "${CURRENT:-/run/current-system}")
patience_s=$1
shift

# active twice, a while apart: a unit that is restarted over and over is active now and then
serves() {
  local unit
  for unit in "$@"; do systemctl is-active --quiet "$unit" || return 1; done
}
settled() { serves "$@" && sleep "${SETTLE_S:-10}" && serves "$@"; }

until settled "$@"; do
  if [ "$SECONDS" -ge "$patience_s" ]; then
    known=$(readlink -f "$good" 2>/dev/null || true)
    if [ -z "$known" ] || [ ! -d "$known" ]; then
      echo "<3>$* do not serve, and no earlier configuration is known to have: nothing to go back to"
      exit 1
    fi
    if [ "$known" = "$current" ]; then
      echo "<3>$* stopped serving under a configuration that was good before: not the release's fault, left as it is"
      exit 1
    fi
    echo "<3>$* do not serve within $patience_s s of $current: going back to $known"
    nix-env -p "${PROFILE:-/nix/var/nix/profiles/system}" --set "$known"
    # a unit of its own, since the switch stops this one
    exec systemd-run --quiet --collect --unit agentplane-reverse --property Restart=on-failure \
      --property RestartSec=5 "$known/bin/switch-to-configuration" switch
  fi
  sleep "${PAUSE_S:-2}"
done
ln -sfn "$current" "$good"
echo "$* serve: $current is the configuration to go back to"
