"""What every daemon shares: configuration, log lines, sd_notify, draining. Knows no daemon by name."""
