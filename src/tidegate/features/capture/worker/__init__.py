"""Data capture of a worker: a bounded queue beside the answers, a folder on disk, and delivery from there."""
