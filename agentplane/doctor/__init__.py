"""The doctor: is this machine fit for its role, and if not, which command repairs it. Changes nothing."""
