#!/usr/bin/env bash
# Preflight of this machine: every check with its cause and a fix that works when pasted. Installs nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${AGENTPLANE_VENV:-$root/.venv}
if [ -x "$venv/bin/agentplane" ]; then exec "$venv/bin/agentplane" doctor "$@"; fi
if command -v agentplane >/dev/null; then exec agentplane doctor "$@"; fi
echo "error: agentplane is not installed here" >&2
echo "  hint: $root/scripts/setup.sh" >&2
exit 8
