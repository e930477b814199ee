"""The plug-in mechanism, and what it makes of bad plug-ins."""
