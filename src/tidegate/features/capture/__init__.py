"""Captured requests and answers: how they are written, and what is redacted. Pure."""
