"""The daemons: control, projector and executor. Each parses its configuration, wires adapters, and loops."""
