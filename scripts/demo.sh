#!/usr/bin/env bash
# The demo on a machine without nixpkgs: sets up what it needs, then runs demo-run.sh. Arguments go there.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
export AGENTPLANE_DEMO_SOURCE=$root
exec "$root/scripts/demo-run.sh" "$@"
