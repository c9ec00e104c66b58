"""Signed records of releases, and their approval by a second person."""
