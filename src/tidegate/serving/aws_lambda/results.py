"""Storage for answers that nobody waits for: objects of S3, named by the message."""

from typing import Protocol

from tidegate.domain.errors import Invalid
from tidegate.serving.aws_lambda.replies import Reply
from tidegate.storage.addresses import parse
from tidegate.storage.s3 import S3

VARIABLE = "TIDEGATE_RESULTS"
"""``s3://bucket/prefix/``."""


class Results(Protocol):
    def put(self, id: str, reply: Reply) -> None:
        """Store an answer. Repeating this is harmless: queues deliver more than once. Raises ArtifactError or
        Transient."""
        ...


class BucketResults:
    def __init__(self, url: str, s3_endpoint: str, region: str) -> None:
        """Raises Invalid."""
        address = parse(url, prefix=True)
        if address.is_file or (address.path and not address.path.endswith("/")):
            raise Invalid(f"{VARIABLE} must be an address such as s3://bucket/prefix/, not {url!r}")
        self._prefix = address.path
        self._bucket = S3(s3_endpoint, region).bucket(address.bucket)

    def put(self, id: str, reply: Reply) -> None:
        self._bucket.upload(reply.body, f"{self._prefix}{id}.out", content_type=reply.content_type)
