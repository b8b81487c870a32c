"""Speed, measured side by side with the published way. Not part of the package."""
