"""The comparison of two versions of a model that answered the same rows.

``rows.row_files`` turns files into requests and ``rows.scores`` reads numbers from answers. In
``features.evidence.replay``, ``paired`` compares two answers a row, ``labelled`` measures both against labels,
``tolerances`` and ``tolerance_learning`` say how much may change, ``report`` judges, and ``replay_judge`` judges
labelled rows before a rollout, by bounds. These modules are pure.
"""
