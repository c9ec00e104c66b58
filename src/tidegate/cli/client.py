"""Client of tidegate's native API over HTTP; requests carry an API token, or are signed if keys are set.

``TIDEGATE_URL`` is the server's address. ``TIDEGATE_TOKEN`` is sent with every request; otherwise, with
``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` in the environment, every request is signed. A server without keys
and users ignores both.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tidegate.cli import transport
from tidegate.cli.transport import ServerAnswer, ServerNotRunning
from tidegate.domain.errors import Invalid, TidegateError, Unavailable
from tidegate.host.late_import import load

__all__ = ["ApiClient", "NotStreamed", "ServerAnswer", "ServerError", "ServerNotRunning", "StreamEnded"]

ENDPOINT_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
DEFAULT_URL = "http://127.0.0.1:8471"
API = "/tidegate/v1"
TIMEOUT = 30.0
INVOCATION_TIMEOUT = 70.0
"""Longer than the server's limit of 60 seconds, so that its answer arrives."""
HEALTH_TIMEOUT = 10.0
"""Longer than the store, the proxy and a hanging disk may each take."""


class ServerError(TidegateError):
    """The server answered with an error; ``kind`` is its code."""

    def __init__(self, kind: str, status: int, message: str) -> None:
        self.kind = kind
        self.status = status
        super().__init__(message)


class NotStreamed(Exception):
    """The server sent this answer instead of a stream."""

    def __init__(self, answer: ServerAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class StreamEnded(TidegateError):
    """The stream was cut off; the message gives the server's reason, if any."""


class ApiClient:
    """``environ`` is the process's environment, or a test's own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.url = environ.get("TIDEGATE_URL", "").rstrip("/") or DEFAULT_URL
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise Invalid(f"TIDEGATE_URL={self.url!r} is not an address such as {DEFAULT_URL}")
        key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
        self._token = environ.get("TIDEGATE_TOKEN", "")
        self._sign_with = (key, secret) if key and secret and not self._token else None
        self._region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"

    def __enter__(self) -> "ApiClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing, since no connection is kept open between requests."""

    # queries

    def version(self) -> dict[str, Any]:
        return self._request_document("GET", "/version")

    def endpoints(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request_document("GET", "/endpoints")["endpoints"]
        return found

    def endpoint(self, name: str) -> dict[str, Any]:
        return self._request_document("GET", _check_endpoint_name(name))

    def history(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request_document("GET", f"{_check_endpoint_name(name)}/history")[
            "versions"
        ]
        return found

    def events(self, name: str, after: int, wait: int = 0) -> dict[str, Any]:
        return self._request_document(
            "GET", f"{_check_endpoint_name(name)}/events", query={"after": after, "wait": wait}
        )

    def live(self, name: str, seconds: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request_document(
            "GET", f"{_check_endpoint_name(name)}/live", query={"seconds": seconds}
        )["fleets"]
        return found

    def logs(self, name: str, tail: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request_document(
            "GET", f"{_check_endpoint_name(name)}/logs", query={"tail": tail}
        )["replicas"]
        return found

    def log_lines(self, name: str, tail: int, limit: int, find: str, replica: str) -> dict[str, Any]:
        query = {"tail": tail, "limit": limit, "find": find, "replica": replica}
        return self._request_document("GET", f"{_check_endpoint_name(name)}/logs/lines", query=query)

    def captures(self, name: str, seconds: int) -> dict[str, Any]:
        query = {"seconds": seconds}
        return self._request_document("GET", f"{_check_endpoint_name(name)}/capture", query=query)

    def samples(self, name: str, limit: int) -> dict[str, Any]:
        path = f"{_check_endpoint_name(name)}/capture/samples"
        return self._request_document("GET", path, query={"limit": limit})

    def shadow(self, name: str, seconds: int) -> dict[str, Any]:
        return self._request_document("GET", f"{_check_endpoint_name(name)}/shadow", query={"seconds": seconds})

    def labels(self, name: str) -> dict[str, Any]:
        return self._request_document("GET", f"{_check_endpoint_name(name)}/labels")

    def post_labels(self, name: str, body: Mapping[str, object]) -> dict[str, Any]:
        return self._request_document("POST", f"{_check_endpoint_name(name)}/labels", body)

    def change_label_terms(self, name: str, body: Mapping[str, object]) -> dict[str, Any]:
        return self._request_document("PUT", f"{_check_endpoint_name(name)}/labels/terms", body)

    def evidence(self, name: str) -> dict[str, Any]:
        return self._request_document("GET", f"{_check_endpoint_name(name)}/evidence")

    def measured(self, name: str) -> dict[str, Any]:
        """Return what the endpoint has shown that a plan takes for granted."""
        return self._request_document("GET", f"{_check_endpoint_name(name)}/measured")

    def judged_pair(self, name: str) -> dict[str, Any]:
        """Return the judged pair of answers that a person is to label next."""
        return self._request_document("GET", f"{_check_endpoint_name(name)}/evidence/pair")

    def label_judged_pair(self, name: str, pair: str, better: str) -> dict[str, Any]:
        return self._request_document(
            "POST", f"{_check_endpoint_name(name)}/evidence/pair", {"pair": pair, "better": better}
        )

    def evidence_timeline(self, name: str) -> dict[str, Any]:
        return self._request_document("GET", f"{_check_endpoint_name(name)}/evidence/timeline")

    def release_record(self, name: str, version: int | None = None) -> dict[str, Any]:
        """The signed record of a release; by default of the newest."""
        query = {} if version is None else {"version": version}
        return self._request_document("GET", f"{_check_endpoint_name(name)}/record", query=query)

    def release_key(self) -> str:
        return str(self._request_document("GET", "/record-key")["public_key"])

    def drift(self, name: str) -> dict[str, Any]:
        return self._request_document("GET", f"{_check_endpoint_name(name)}/drift")

    def set_drift(self, name: str, schedule: Mapping[str, object]) -> dict[str, Any]:
        return self._request_document("PUT", f"{_check_endpoint_name(name)}/drift", schedule)

    def remove_drift(self, name: str) -> dict[str, Any]:
        return self._request_document("DELETE", f"{_check_endpoint_name(name)}/drift")

    def models(self, name: str, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request_document(
            "GET", f"{_check_endpoint_name(name)}/models", query={"limit": limit}
        )["replicas"]
        return found

    def alarms(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request_document("GET", "/alarms")["alarms"]
        return found

    def audit(self, limit: int, who: str, about: str) -> list[dict[str, Any]]:
        query = {"limit": limit, "who": who, "about": about}
        found: list[dict[str, Any]] = self._request_document("GET", "/audit", query=query)["entries"]
        return found

    def transform_job(self, name: str) -> dict[str, Any]:
        return self._request_document("GET", f"/transforms/{quote(name, safe='')}")

    def challenges(self) -> dict[str, Any]:
        return self._request_document("GET", "/lessons")

    def challenge(self, name: str) -> dict[str, Any]:
        return self._request_document("GET", f"/lessons/{quote(name, safe='')}")

    # commands

    def start_challenge(self, name: str, by: str, reason: str) -> dict[str, Any]:
        path = f"/lessons/{quote(name, safe='')}/start"
        return self._request_document("POST", path, {"by": by, "reason": reason})

    def stop_challenge(self, name: str, by: str, reason: str) -> dict[str, Any]:
        path = f"/lessons/{quote(name, safe='')}/stop"
        return self._request_document("POST", path, {"by": by, "reason": reason})

    def transform(self, job: Mapping[str, Any]) -> dict[str, Any]:
        return self._request_document("POST", "/transforms", job)

    def resume_transform(self, name: str, by: str) -> dict[str, Any]:
        return self._request_document("POST", f"/transforms/{quote(name, safe='')}/resume", {"by": by})

    def deploy(self, spec: object, by: str, *, override: bool, supersede: bool) -> dict[str, Any]:
        asked = {"spec": spec, "by": by, "override": override, "supersede": supersede}
        return self._request_document("PUT", "/deploy", asked)

    def upload(self, name: str, content: bytes) -> str:
        """Store a file of model data in the server's state folder, under the digest of its content; its address."""
        headers = {"Content-Type": "application/octet-stream"}
        answer = self._send("PUT", f"{API}/uploads/{quote(name, safe='')}", content, headers, INVOCATION_TIMEOUT)
        return str(self._read_document(answer)["data"])

    def diff(self, spec: object) -> dict[str, Any]:
        """Return what deploying the spec would change."""
        return self._request_document("POST", "/diff", {"spec": spec})

    def check_machine(self, spec: object) -> list[dict[str, Any]]:
        """Return what the server finds as it checks what a spec needs; None: what its endpoints need."""
        found: list[dict[str, Any]] = self._request_document("POST", "/checks", {"spec": spec})["findings"]
        return found

    def rollout(self, name: str, what: str, by: str, **options: object) -> dict[str, Any]:
        """Send a command to the rollout of an endpoint. ``options`` are further members of the command's request."""
        return self._request_document(
            "POST", f"{_check_endpoint_name(name)}/rollout/{what}", {"by": by, **options}
        )

    def delete(self, name: str, by: str, *, force: bool) -> dict[str, Any]:
        return self._request_document("DELETE", _check_endpoint_name(name), {"by": by}, {"force": int(force)})

    def describe(self, operation: str, **named: str) -> dict[str, Any]:
        """An operation of SageMaker's API that changes nothing, such as DescribeModel."""
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{operation}"}
        answer = self._send("POST", "/", json.dumps(named).encode(), headers, TIMEOUT)
        document = _parse_json(answer)
        if answer.status == 200 and document is not None:
            return document
        told = document or {}
        raise ServerError(
            str(told.get("__type")), answer.status, f"{operation}: {told.get('message', answer.status)}"
        )

    def down(self, by: str) -> dict[str, Any]:
        return self._request_document("POST", "/down", {"by": by})

    def invoke(self, name: str, body: bytes, headers: Mapping[str, str]) -> ServerAnswer:
        path = f"{_check_endpoint_name(name)}/invocations"
        if self._token:  # workers know keys alone: the server signs for the token's owner
            path = f"{API}{_check_endpoint_name(name)}/invoke"
        return self._send("POST", path, body, headers, INVOCATION_TIMEOUT)

    def make_signer(self, name: str, headers: Mapping[str, str]) -> Callable[[bytes], Mapping[str, str]] | None:
        """A function from a prediction's body to its signed headers; None without keys."""
        self._require_key("a replay")
        if self._sign_with is None:
            return None
        url = f"{self.url}{_check_endpoint_name(name)}/invocations"
        return lambda body: self._sign("POST", url, body, headers)

    def invoke_async(self, name: str, body: bytes, headers: Mapping[str, str]) -> ServerAnswer:
        return self._send("POST", f"{_check_endpoint_name(name)}/async-invocations", body, headers, TIMEOUT)

    def queue(self, name: str, limit: int) -> dict[str, Any]:
        return self._request_document("GET", f"{_check_endpoint_name(name)}/queue", query={"limit": limit})

    def empty_queue(self, name: str, by: str, reason: str, through: float | None) -> dict[str, Any]:
        """Empty the queue of an endpoint. ``through`` is in epoch seconds."""
        body = {"by": by, "reason": reason, **({} if through is None else {"through": through})}
        return self._request_document("POST", f"{_check_endpoint_name(name)}/queue/empty", body)

    def scaling(self, name: str, limit: int, everything: bool) -> dict[str, Any]:
        return self._request_document(
            "GET", f"{_check_endpoint_name(name)}/scaling", query={"limit": limit, "all": int(everything)}
        )

    def queued(self, name: str, id: str) -> dict[str, Any]:
        return self._request_document("GET", f"{_check_endpoint_name(name)}/queue/{quote(id, safe='')}")

    def stream(self, name: str, body: bytes, headers: Mapping[str, str]) -> Iterator[bytes]:
        """Parts of a streamed prediction as they arrive. Raises NotStreamed or StreamEnded."""
        self._require_key("a streamed answer")
        url = f"{self.url}{_check_endpoint_name(name)}/invocations-response-stream"
        buffer = load("botocore.eventstream", "EventStreamBuffer")()
        given = self._headers("POST", url, body, headers)
        with transport.stream("POST", url, body, given, server=self.url, timeout=INVOCATION_TIMEOUT) as answer:
            if answer.status != 200:
                raise NotStreamed(answer.read())
            for data in answer.parts():
                buffer.add_data(data)
                yield from map(_read_payload, buffer)

    def _require_key(self, what: str) -> None:
        """Refuse to send an API token with a request for ``what``, which needs an access key. Raises Invalid."""
        if self._token:
            raise Invalid(
                f"{what} needs an access key: unset TIDEGATE_TOKEN and set AWS_ACCESS_KEY_ID and its secret"
            )

    def serving(self) -> str | None:
        """Id of the installation that serves here, even in trouble (``health_trouble``); empty if it gives none, None
        if nothing serves."""
        answer = self._health()
        if answer is None:
            return None
        well = answer.status == 200 or (_parse_json(answer) or {}).get("status") == "degraded"
        return answer.headers.get(load("tidegate.host.installation", "HEADER"), "") if well else None

    def health_trouble(self) -> str:
        """Return the reason why the server cannot save anything; empty if it can."""
        answer = self._health()
        return "" if answer is None else str((_parse_json(answer) or {}).get("reason", ""))

    def _health(self) -> ServerAnswer | None:
        try:
            return self._send("GET", "/healthz", b"", {}, HEALTH_TIMEOUT)
        except TidegateError:
            return None

    # transport

    def _request_document(
        self, method: str, path: str, data: object = None, query: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        body = b"" if data is None else json.dumps(data).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        target = f"{API}{path}" + (f"?{urlencode(query)}" if query else "")
        return self._read_document(self._send(method, target, body, headers, TIMEOUT))

    def _read_document(self, answer: ServerAnswer) -> dict[str, Any]:
        document = _parse_json(answer)
        if 200 <= answer.status < 300 and document is not None:
            return document
        error = (document or {}).get("error")
        if isinstance(error, dict):
            raise ServerError(str(error.get("code")), answer.status, str(error.get("message")))
        raise Unavailable(
            f"{self.url} answered {answer.status} without a reason: either it is not tidegate, or its "
            "controller is not running ('tidegate up' restarts it and adopts running processes)"
        )

    def _send(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> ServerAnswer:
        url = self.url + target
        given = self._headers(method, url, body, headers)
        return transport.request(method, url, body, given, server=self.url, timeout=timeout)

    def _headers(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        if self._token:
            return {**headers, "Authorization": f"Bearer {self._token}"}
        return headers if self._sign_with is None else self._sign(method, url, body, headers)

    def _sign(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        # botocore is imported only where there are keys to sign with: it takes longer than the request.
        request = load("botocore.awsrequest", "AWSRequest")(method, url, headers=dict(headers), data=body)
        credentials = load("botocore.credentials", "Credentials")(*self._sign_with or ())
        load("botocore.auth", "SigV4Auth")(credentials, "sagemaker", self._region).add_auth(request)
        return dict(request.headers.items())


def _check_endpoint_name(name: str) -> str:
    """Return the path of an endpoint. Raises Invalid for an invalid name, which might also change the path."""
    if not ENDPOINT_NAME.fullmatch(name):
        raise Invalid(f"invalid endpoint name {name!r}: names are 1 to 63 letters, digits and inner hyphens")
    return f"/endpoints/{quote(name, safe='')}"


def _read_payload(message: Any) -> bytes:
    if message.headers.get(":message-type") != "exception":
        return bytes(message.payload)
    told = json.loads(message.payload)
    raise StreamEnded(f"the stream ended early ({told.get('ErrorCode')}): {told.get('Message')}")


def _parse_json(answer: ServerAnswer) -> dict[str, Any] | None:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
