"""The log as history: which events, what caused what, and how things were at a position. Pure."""
