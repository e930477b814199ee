"""Recorded decisions taken again by today's controllers, and what would differ. Pure; it stores and asks nothing."""
