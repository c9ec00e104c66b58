"""Replay before a rollout: both versions of a model answer labelled rows, each in its own process, and are judged.

``rows`` reads what is replayed, and ``run`` lets the versions answer.
"""
