"""Stories of organizations."""
