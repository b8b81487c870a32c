"""Run folders, and everything that uses a trained run."""
