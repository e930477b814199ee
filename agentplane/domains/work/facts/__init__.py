"""What each event of the families says: one struct per type of event, its fields described. Pure."""
