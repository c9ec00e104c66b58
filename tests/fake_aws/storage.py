"""S3, as far as uploads and checks of places need it."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.fake_aws.faults import AwsRefusal


@dataclass
class StoredObject:
    body: bytes
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeS3:
    region: str
    buckets: dict[str, str] = field(default_factory=dict)
    """Bucket -> region."""
    objects: dict[tuple[str, str], StoredObject] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    """Keys, in the order of the puts."""

    def add(self, address: str, body: bytes = b"x") -> None:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        self.buckets.setdefault(bucket, self.region)
        self.objects[bucket, key] = StoredObject(body)

    def answer(
        self, operation: str, method: str, url: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        parts = urlsplit(url)
        bucket, key = _place(parts.hostname or "", unquote(parts.path).lstrip("/"))
        if bucket not in self.buckets:
            raise AwsRefusal("NoSuchBucket", "The specified bucket does not exist", 404)
        match operation:
            case "HeadBucket":
                return 200, {"x-amz-bucket-region": self.buckets[bucket]}, b""
            case "PutObject":
                kept = {
                    name.removeprefix("x-amz-meta-"): value
                    for name, value in headers.items()
                    if name.startswith("x-amz-meta-")
                }
                self.objects[bucket, key] = StoredObject(_unchunked(headers, body), kept)
                self.puts.append(key)
                return 200, {"ETag": '"0"'}, b""
            case "HeadObject":
                found = self.objects.get((bucket, key))
                if found is None:
                    raise AwsRefusal("404", "Not Found", 404)
                named = {f"x-amz-meta-{name}": value for name, value in found.metadata.items()}
                return 200, {"Content-Length": str(len(found.body)), "ETag": '"0"', **named}, b""
            case "ListObjectsV2":
                prefix = parse_qs(parts.query).get("prefix", [""])[0]
                return 200, {"Content-Type": "application/xml"}, self._list(bucket, prefix)
        raise AwsRefusal("NotImplemented", operation, 501)

    def _list(self, bucket: str, prefix: str) -> bytes:
        keys = [key for (place, key) in sorted(self.objects) if place == bucket and key.startswith(prefix)]
        rows = "".join(f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in keys)
        counted = f"<KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult><Name>{bucket}</Name>{counted}{rows}</ListBucketResult>".encode()


def _place(host: str, path: str) -> tuple[str, str]:
    """Bucket and key of an address of either style."""
    if match := re.match(r"(?P<bucket>.+)\.s3[.\-]", host):
        return match["bucket"], path
    bucket, _, key = path.partition("/")
    return bucket, key


def _unchunked(headers: dict[str, str], body: bytes) -> bytes:
    """Without the framing that carries a checksum behind the body."""
    if "aws-chunked" not in headers.get("content-encoding", ""):
        return body
    plain = b""
    while True:
        line, _, body = body.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if not size:
            return plain
        plain, body = plain + body[:size], body[size + 2 :]
