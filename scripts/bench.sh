#!/usr/bin/env bash
# Every speed and memory goal beside its peer, interleaved in one run: a table, and exit status 0 whatever it says.
# Uses the stack in $AGENTPLANE_STATE_DIR (or the first argument); one that is not up is started, and stopped again.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$root"
state=${1:-${AGENTPLANE_STATE_DIR:-$root/.agentplane}}
"$venv/bin/python" -c 'import eventsourcing' 2>/dev/null ||
  "$venv/bin/pip" install -q --disable-pip-version-check 'eventsourcing[postgres]==9.5.6' ||
  die "the library that appending is compared with is not there" "pip install 'eventsourcing[postgres]==9.5.6'"
if ! agentplane --state-dir "$state" stack status >/dev/null 2>&1; then
  step "starting a stack in $state"
  agentplane --state-dir "$state" stack up
  trap 'agentplane --state-dir "$state" stack down' EXIT
fi
step "measuring (about two minutes; other work on this machine shows in the numbers)"
python -m scripts.bench "$state"
