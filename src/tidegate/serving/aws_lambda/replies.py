"""The results that a function returns for the outcome of a request: status, headers and body are those of a worker.
Pure."""

import base64
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid
from tidegate.serving.contract.invocation import Answer, ModelFailed, Rejected
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.responses import JSON, MODEL_ERROR, NO_CONTENT, model_error, platform_error
from tidegate.storage.addresses import parse
from tidegate.storage.s3 import S3

LARGEST_ANSWER = 6 * 1024 * 1024
"""Bytes of the whole answer of a function (AWS's limit)."""
_ENVELOPE = 4096
"""Bytes left for what surrounds the body."""


@dataclass(frozen=True)
class Reply:
    status: int
    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    failed: bool = False
    """The service or the model is to blame, as opposed to the request."""

    @property
    def good(self) -> bool:
        return self.status < 300

    @property
    def error_type(self) -> str:
        return dict(self.headers).get("x-amzn-ErrorType", "")


class FunctionError(Exception):
    """Lambda counts the invocation as failed; whoever invoked it asynchronously has it retried."""


def reply(spec: ReplicaSpec, outcome: Answer | Rejected | ModelFailed) -> Reply:
    """Make the reply that a worker would give."""
    served = (
        ("x-Amzn-Invoked-Production-Variant", spec.fleet.variant),
        ("x-tidegate-config", spec.config_name),
    )
    if isinstance(outcome, Rejected):
        return error(outcome.status, outcome.name, outcome.message)
    if isinstance(outcome, ModelFailed):
        body = msgspec.json.encode(model_error(spec, outcome))
        failed = not 400 <= outcome.status < 500
        return Reply(424, JSON, (*served, ("x-amzn-ErrorType", MODEL_ERROR)), body, failed)
    own = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in outcome.headers)
    made = Reply(outcome.status, outcome.content_type, (*served, *own), outcome.body)
    if outcome.status == NO_CONTENT:
        return Reply(NO_CONTENT, outcome.content_type, made.headers, b"")
    if (size := _size(made)) > LARGEST_ANSWER - _ENVELOPE:
        return error(
            413,
            "ValidationError",
            f"The answer needs {size} bytes, and a Lambda function may answer with {LARGEST_ANSWER}: ask for fewer"
            " rows, or take a target without this limit.",
        )
    return made


def error(status: int, name: str, message: str) -> Reply:
    """An error of the platform; ``name`` is its name in SageMaker Runtime."""
    body = msgspec.json.encode(platform_error(message))
    return Reply(status, JSON, (("x-amzn-ErrorType", name),), body, failed=status >= 500)


def http_answer(made: Reply, request_id: str) -> dict[str, object]:
    """Make an answer for API Gateway (both payload formats), load balancers and Function URLs."""
    headers = {"content-type": made.content_type, "x-amzn-RequestId": request_id, **dict(made.headers)}
    return {"statusCode": made.status, "headers": headers, **_body(made)}


def direct_answer(made: Reply) -> dict[str, object]:
    return {
        "statusCode": made.status,
        "contentType": made.content_type,
        "headers": dict(made.headers),
        **_body(made),
    }


def function_error(made: Reply) -> FunctionError:
    """The error that stands for a failed reply; its message has the same text."""
    told = msgspec.json.decode(made.body, type=prepare_type(dict[str, object])).get("Message", "")
    return FunctionError(f"{made.status} {made.error_type}: {told}")


def batch_answer(failed: list[str]) -> dict[str, object]:
    """The answer to SQS: the messages to deliver again."""
    return {"batchItemFailures": [{"itemIdentifier": id} for id in failed]}


def _is_text(made: Reply) -> bool:
    kind = made.content_type.partition(";")[0].strip().lower()
    if not (kind.startswith("text/") or kind.endswith(("json", "jsonlines", "xml"))):
        return False
    try:
        made.body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _body(made: Reply) -> dict[str, object]:
    if _is_text(made):
        return {"body": made.body.decode(), "isBase64Encoded": False}
    return {"body": base64.b64encode(made.body).decode(), "isBase64Encoded": True}


def _size(made: Reply) -> int:
    """Return the size of the body in bytes, inside the JSON of the answer."""
    if not _is_text(made):
        return -(-len(made.body) // 3) * 4
    return len(msgspec.json.encode(made.body.decode()))


# --- storage for answers that nobody waits for: objects of S3, named by the message ---


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
