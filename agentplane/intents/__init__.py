"""Intents: what someone wants, as events that the bus carries to control. Building them is pure."""
