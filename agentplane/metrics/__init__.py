"""Numbers for Prometheus: counters that the daemons' parts count on, gauges that are read when somebody asks.

Off unless `metrics_port` is configured, and then on loopback only. No label is ever taken from a tenant's document.
"""
