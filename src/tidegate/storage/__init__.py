"""S3 and files: addresses, reading, writing, and what their errors mean. Everything here may block.

Its users (model data, asynchronous requests, transform jobs) keep their own policy: which folders they allow, what
they retry, and how they show progress.
"""
