#!/usr/bin/env bash
# Probes every executor of the fleet, by what it reported last.
exec "$(dirname "${BASH_SOURCE[0]}")/doctor.sh" --fleet "$@"
