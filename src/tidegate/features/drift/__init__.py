"""Whether what an endpoint is asked, and what it answers, has changed since a baseline.

``rows`` reads captures and tables, ``profile`` sums up columns in constant memory, ``significance`` has the tests,
``compare`` decides, and ``shapes`` writes and reads SageMaker's files of statistics and constraints. Pure.
"""
