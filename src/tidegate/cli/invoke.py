"""``invoke``: one prediction."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.client import NotStreamed, ServerAnswer
from tidegate.cli.output import AsJson, Name, client
from tidegate.domain.errors import Invalid, TidegateError

STREAM_ACCEPT = "X-Amzn-SageMaker-Accept"
VARIANT = "x-amzn-invoked-production-variant"
CONFIG = "x-tidegate-config"


class InvocationFailed(TidegateError):
    """The model failed to answer."""


def invoke(
    name: Name,
    *,
    body: Annotated[str | None, typer.Option("--body", help="The request's body.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", readable=False, help="Send this file; default: stdin."),
    ] = None,
    content_type: Annotated[str, typer.Option(help="Type of the body.")] = "text/csv",
    accept: Annotated[str | None, typer.Option(help="Type of the answer.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant to ask.")] = None,
    target_model: Annotated[str | None, typer.Option(help="Model to ask on a multi-model endpoint.")] = None,
    target_container: Annotated[
        str | None, typer.Option(help="Container to ask on a multi-container endpoint.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the parts of the answer as they arrive.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask an endpoint for a prediction.

    Prints the answer unchanged; with --json, with the variant that answered and the latency.
    --stream prints each part of a streamed answer as it arrives.

    \b
    Examples:
      tidegate invoke fraud --body 1200,3,0.5
      tidegate invoke fraud --file rows.csv --json
      tidegate invoke fraud --content-type application/json < row.json
      tidegate invoke salary --target-container explainer --file rows.csv
      tidegate invoke clients --target-model acme.tar.gz --file rows.csv
      tidegate invoke chat --stream --content-type application/json --file question.json
    """
    if stream and as_json:
        raise InvocationFailed("--stream and --json exclude each other: a stream is printed unchanged")
    headers = {
        "Content-Type": content_type,
        STREAM_ACCEPT if stream else "Accept": accept,
        "X-Amzn-SageMaker-Target-Variant": variant,
        "X-Amzn-SageMaker-Target-Model": target_model,
        "X-Amzn-SageMaker-Target-Container-Hostname": target_container,
    }
    _invoke(name, _read_body(body, file), {key: value for key, value in headers.items() if value}, stream, as_json)


def _invoke(name: str, content: bytes, headers: dict[str, str], stream: bool, as_json: bool) -> None:
    if stream:
        with client() as server:
            _print_parts(server.stream(name, content, headers))
        return
    with client() as server:
        started = time.perf_counter()
        answer = server.invoke(name, content, headers)
        took = time.perf_counter() - started
    if not 200 <= answer.status < 300:
        raise InvocationFailed(f"{answer.status}: {_error_reason(answer)}")
    if as_json:
        print(json.dumps(_describe_prediction(answer, took)))
        return
    sys.stdout.buffer.write(answer.body)
    if sys.stdout.isatty() and not answer.body.endswith(b"\n"):
        print()


def _print_parts(parts: Iterator[bytes]) -> None:
    last = b""
    try:
        for last in parts:
            sys.stdout.buffer.write(last)
            sys.stdout.buffer.flush()
    except NotStreamed as error:
        raise InvocationFailed(f"{error.answer.status}: {_error_reason(error.answer)}") from None
    if sys.stdout.isatty() and not last.endswith(b"\n"):
        print()


def _read_body(body: str | None, file: Path | None) -> bytes:
    if body is not None and file is not None:
        raise Invalid("give --body or --file, not both")
    if body is not None:
        return body.encode()
    if file is not None:
        try:
            return file.read_bytes()
        except OSError as error:
            raise Invalid(f"{file}: {error.strerror}") from None
    return sys.stdin.buffer.read()


def _describe_prediction(answer: ServerAnswer, took: float) -> dict[str, object]:
    return {
        "status": answer.status,
        "variant": answer.headers.get(VARIANT),
        "config": answer.headers.get(CONFIG),
        "content_type": answer.headers.get("content-type"),
        "latency_ms": round(took * 1000, 3),
        "body": answer.body.decode("utf-8", "replace"),
    }


def _error_reason(answer: ServerAnswer) -> str:
    """One-line reason from AWS's error format or any other body."""
    text = answer.body.decode("utf-8", "replace").strip()
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        original = document.get("OriginalMessage")
        text = str(document.get("Message") or document.get("message") or text)
        text += f" (the model said: {original})" if original and str(original) not in text else ""
    return " ".join(text.split())[:500] or "no reason given"
