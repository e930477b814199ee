"""The executor daemon of one host: assignments come in, guests run, signed evidence goes out.

Talks to NATS and Nix, never to PostgreSQL. Level-triggered: every heartbeat's answer says all that it should be
doing, and `reconcile` compares that with what lies in its state directory.
"""
