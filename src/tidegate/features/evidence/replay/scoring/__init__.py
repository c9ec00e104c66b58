"""Answers of a model to many requests, by its own runtime in a process of its own, without a server.

``models`` says what to start, ``run`` starts ``python -m tidegate.features.evidence.replay.scoring`` and reads the
answers, ``exchange`` has the files between the two.
"""
