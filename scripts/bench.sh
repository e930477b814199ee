#!/usr/bin/env bash
# Every speed and memory goal beside its peer, interleaved in one run: a table, and exit status 0 whatever it says.
# Usage: bench.sh [STATE_DIR] [--growth] [--only SECTION]
# Uses the stack in STATE_DIR (or $AGENTPLANE_STATE_DIR); one that is not up is started, and stopped again. --growth
# also measures the log at 10 thousand, 100 thousand and a million events (minutes).
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$root"
state=${AGENTPLANE_STATE_DIR:-$root/.agentplane}
if [[ ${1:-} != "" && ${1:-} != --* ]]; then
  state=$1
  shift
fi
"$venv/bin/python" -c 'import eventsourcing' 2>/dev/null ||
  "$venv/bin/pip" install -q --disable-pip-version-check 'eventsourcing[postgres]==9.5.6' ||
  die "the library that appending is compared with is not there" "pip install 'eventsourcing[postgres]==9.5.6'"
if ! agentplane --state-dir "$state" stack status >/dev/null 2>&1; then
  step "starting a stack in $state"
  agentplane --state-dir "$state" stack up
  trap 'agentplane --state-dir "$state" stack down' EXIT
fi
step "measuring (about three minutes; other work on this machine shows in the numbers)"
python -m scripts.bench "$state" "$@"
