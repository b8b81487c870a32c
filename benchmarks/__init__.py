"""Speed beside the published way, and results beside the truth. Not part of the package."""
