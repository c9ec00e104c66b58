"""Clients of the examples: each is copied into the folder of its example as ``client.py``, and needs boto3 alone."""
