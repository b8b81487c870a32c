"""Errors, files, options and the command line, on which everything else stands."""
