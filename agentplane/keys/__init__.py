"""Everything secret that a fleet needs, made once, as files: keys, passwords, a certificate for the bus."""
