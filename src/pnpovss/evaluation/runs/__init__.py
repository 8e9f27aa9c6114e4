"""Runs over data sets, kept in folders and resumable."""
