"""The embedded stack: PostgreSQL, nats-server and our daemons on one machine without systemd, in one state directory.

The same entry points that the systemd units start; supervision is supervisord's.
"""
