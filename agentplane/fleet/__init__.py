"""The fleet: which hosts there are and what they are allowed, as people declare it.

In: an inventory document, typed or in the legacy shape. Out: findings, and one `Inventory`. A declaration allows; it
never proves: what an executor has is what it reports, and whether KVM works is what was probed.
"""
