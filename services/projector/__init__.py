"""The projector daemon: follows the log into read models, and answers questions about them.

The log's sequence is what it follows; NOTIFY only wakes it. NATS carries questions and answers and nothing else, so
projecting goes on while NATS is away.
"""
