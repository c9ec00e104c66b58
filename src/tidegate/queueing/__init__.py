"""Decisions on asynchronous requests: where their output goes, what follows on each end of a try, how many instances
a queue needs. Pure: times are given, nothing is touched."""
