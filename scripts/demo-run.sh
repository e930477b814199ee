#!/usr/bin/env bash
# One governed run, end to end, for real. Needs `agentplane` on PATH.   usage: demo-run.sh [--down]
#   --down: stop the stack at the end (it is left running otherwise, to look around)
set -euo pipefail
source_tree=${AGENTPLANE_DEMO_SOURCE:?the directory that has bundles/}
if [ "$(id -u)" = 0 ]; then default=/var/lib/agentplane/demo; else default=$HOME/.local/state/agentplane/demo; fi
export AGENTPLANE_STATE_DIR=${AGENTPLANE_STATE_DIR:-$default}
work=$(mktemp -d "${TMPDIR:-/tmp}/agentplane-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$AGENTPLANE_STATE_DIR"

chapter() { printf '\n\033[1;36m== %s\033[0m\n' "$*"; }
narrate() { printf '\033[2m%s\033[0m\n' "$*"; }
ap() { printf '\033[1m$ agentplane %s\033[0m\n' "$*" >&2; agentplane "$@"; }
# a command that must be refused or fail: anything else ends the demo
expect() {
  local wanted=$1 status=0
  shift
  ap "$@" || status=$?
  [ "$status" = "$wanted" ] || { echo "demo: exit status $status, $wanted was expected" >&2; exit 1; }
  narrate "(exit status $status, as it should be)"
}

chapter "1. The stack: PostgreSQL, NATS, control, projector, one executor"
ap stack up

chapter "2. Validate: a bundle with mistakes is refused, all of them at once"
cp -r "$source_tree/bundles/example-agent" "$work/mistakes" && chmod -R u+w "$work/mistakes"
sed -i 's/"allowAGPL": false/"allowAGPL": true/; s/"maxRunSeconds": [0-9]*/"maxRunSeconds": 4/' "$work/mistakes/bundle.json"
chmod -x "$work/mistakes/smoke.sh"
expect 2 validate "$work/mistakes"

chapter "3. Run: a bundle becomes a virtual machine, and leaves evidence"
run=$(ap run "$source_tree/bundles/example-agent" --wait)
ap explain "$run"

chapter "4. Real work: audit the licences of this repository, inside a guest"
audit=$(ap run "$source_tree/bundles/license-audit" --input "tree=$source_tree" --wait)
sed -n '1,25p' "$(agentplane describe run "$audit" -o json | sed -n 's/.*"outDir": "\(\/.*\)".*/\1/p')/report.md"

chapter "5. The same, on a tree with an AGPL file: refused"
mkdir "$work/tree" && printf '# SPDX-License-Identifier: AGPL-3.0-only\nprint("hello")\n' >"$work/tree/app.py"
expect 1 run "$source_tree/bundles/license-audit" --input "tree=$work/tree" --wait

chapter "6. The timeline and the artifacts of the first run"
ap describe run "$run"

chapter "7. Evidence: exported, and verified offline with public keys only"
ap evidence export "$run" --to "$work/evidence"
ap evidence verify "$work/evidence" --keys "$AGENTPLANE_STATE_DIR/keys/trusted"

chapter "8. Replay: run it again from its pins, and compare"
ap replay "$run"

chapter "9. A copy of the evidence with one changed byte: caught"
cp -r "$work/evidence" "$work/tampered"
artifact=$(find "$work/tampered/artifacts" -name run-artifact.json)
sed -i 's/"exitCode": *0/"exitCode":1/' "$artifact"
expect 1 evidence verify "$work/tampered" --keys "$AGENTPLANE_STATE_DIR/keys/trusted"

chapter "10. Where to look next"
cat <<NEXT
  export PATH=$(dirname "$(command -v agentplane)"):\$PATH
  export AGENTPLANE_STATE_DIR=$AGENTPLANE_STATE_DIR
  agentplane get runs                 all runs              agentplane events list      the log under them
  agentplane logs $run   what it printed
  agentplane projections rebuild      the read models again, byte for byte
  agentplane doctor                   this machine          agentplane stack down       stop it
NEXT
if [ "${1:-}" = --down ]; then ap stack down; fi
