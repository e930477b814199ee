"""Backup and restore of a stack: the database, the executor's journal and files, public keys, inventory.

What is in a backup, and what it must say of itself, is in `manifest`; nothing counts as restored before `audit` and
`journals` have read it back whole.
"""
