"""Training: data of a run, the training loop, and what the command does."""
