"""What a TPU would make of a training step, found out on a machine without one."""
