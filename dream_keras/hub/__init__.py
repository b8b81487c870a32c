"""Published data and weights by name: the catalogue, downloads, and where their files are."""
