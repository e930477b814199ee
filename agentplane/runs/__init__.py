"""Runs: the vocabulary of one execution of one bundle digest. Intents, facts and the messages to and from executors."""
