"""Decisions on asynchronous requests: where their output goes, what follows each attempt, how many instances a queue
needs. Pure: times are given, and nothing does I/O."""
