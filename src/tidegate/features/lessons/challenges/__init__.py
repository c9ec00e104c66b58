"""Demonstrations of the four challenges of running a model, each a simulation by the code that runs in production.

Each takes its parameters and gives plain data; none knows a page. They run in the process of ``compute_process``.
"""
