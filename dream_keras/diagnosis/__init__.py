"""The doctor: what was found on a machine, and what each finding means."""
