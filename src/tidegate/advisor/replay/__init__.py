"""Replay before a rollout: both versions of a model answer labelled rows, each in its own process, and are judged.

``rows`` reads what is replayed, ``run`` lets the versions answer, and ``python -m tidegate.advisor.replay`` is the
process that a server starts for it.
"""
