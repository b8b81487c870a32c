"""What a run gets wrong, and why: residuals, calibration, strands, similarity to training rows."""
