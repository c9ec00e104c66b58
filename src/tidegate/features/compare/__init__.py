"""What changes between two versions of a model that answered the same rows.

``row_files`` turns files into requests, ``scores`` reads numbers from answers, ``paired`` compares two answers a row,
``labelled`` measures both against labels, ``tolerances`` and ``tolerance_learning`` say how much may change, and
``report`` judges; ``replay_judge`` judges labelled rows before a rollout, by bounds. Pure.
"""
