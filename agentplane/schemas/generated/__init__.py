"""Made by scripts/schemas.py from the models; a test of the repository says when they are old."""
