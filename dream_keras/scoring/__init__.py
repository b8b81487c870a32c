"""The gold-standard suite: metrics, submissions, reports."""
