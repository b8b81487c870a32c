"""Errors, files, options and the command line, shared by all other folders."""
