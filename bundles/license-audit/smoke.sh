#!/bin/sh
# Audits the input `tree`; exit status 0: no AGPL, 1: AGPL found, 2: nothing to audit.
exec python3 -B audit.py "$AGENTPLANE_INPUTS/tree" "$AGENTPLANE_ARTIFACTS"
