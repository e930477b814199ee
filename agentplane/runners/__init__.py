"""Runners: a plan goes in, an ending comes out. Each runs behind a shim, a small process that outlives its executor."""
