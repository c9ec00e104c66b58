"""``invoke``: one prediction."""

import json
import re
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli.client import NotStreamed, ServerAnswer
from tidegate.cli.output import AsJson, Name, client
from tidegate.domain.errors import Invalid, TidegateError

STREAM_ACCEPT = "X-Amzn-SageMaker-Accept"
VARIANT = "x-amzn-invoked-production-variant"
CONFIG = "x-tidegate-config"


DEFAULT_TYPE = "text/csv"
LANGUAGE_MODELS = {"gguf"}
TABLES = {"xgboost", "xgboost-shap", "onnx", "lightgbm", "sklearn"}
"""Images, after ``tidegate/``, whose models take rows."""
_IMAGE = re.compile(r"^tidegate/|[:@].*$")
FLAGS = (
    ("target container hostname header", "--target-container"),
    ("target model header", "--target-model"),
    ("TargetContainerHostname", "--target-container"),
    ("TargetModel", "--target-model"),
    ("TargetVariant", "--variant"),
    ("ContentType", "--content-type"),
)
"""The API's words for what the command's options say, the longest first."""


class _InvocationFailed(TidegateError):
    """The model failed to answer."""


def invoke(
    name: Name,
    *,
    body: Annotated[str | None, typer.Option("--body", help="The request's body.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", readable=False, help="Send this file; default: stdin."),
    ] = None,
    content_type: Annotated[
        str | None, typer.Option(help="Type of the body; default: what the model takes, else text/csv.")
    ] = None,
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
      tidegate invoke fraud --body '{"instances": [[1200, 3, 0.5]]}'
      tidegate invoke salary --target-container explainer --file rows.csv
      tidegate invoke clients --target-model acme.tar.gz --file rows.csv
      tidegate invoke chat --stream --file question.json
    """
    if stream and as_json:
        raise _InvocationFailed("--stream and --json exclude each other: a stream is printed unchanged")
    content = _read_body(body, file)
    headers = {
        "Content-Type": content_type or _default_type(name, content, target_container),
        STREAM_ACCEPT if stream else "Accept": accept,
        "X-Amzn-SageMaker-Target-Variant": variant,
        "X-Amzn-SageMaker-Target-Model": target_model,
        "X-Amzn-SageMaker-Target-Container-Hostname": target_container,
    }
    _invoke(name, content, {key: value for key, value in headers.items() if value}, stream, as_json)


def _default_type(name: str, content: bytes, container: str | None) -> str:
    """By the body and by the images that serve. A body that cannot be JSON is CSV whatever serves."""
    if not content.lstrip().startswith((b"{", b"[")):
        return DEFAULT_TYPE
    with client() as server:
        try:
            images = _images(server.endpoint(name), container)
        except TidegateError:
            return DEFAULT_TYPE
    return choose_type(content, images)


def _images(endpoint: Mapping[str, Any], container: str | None) -> set[str]:
    """Images that get the request: of the named container, else of the first one of each fleet."""
    architectures = [fleet["architecture"] for fleet in endpoint["fleets"] if fleet.get("architecture")]
    return {
        each["image"]
        for made in architectures
        for place, each in enumerate(made["containers"])
        if (place == 0 if container is None else each["name"] == container)
    }


def choose_type(content: bytes, images: Collection[str]) -> str:
    """Type of a body in JSON for these images: JSON for language models, for tables JSON lines if it has several,
    and text/csv where the runtime is not known."""
    kinds = {_IMAGE.sub("", image) for image in images}
    if kinds and kinds <= LANGUAGE_MODELS:
        return "application/json"
    if kinds and kinds <= TABLES:
        lines = [line for line in content.splitlines() if line.strip()]
        several = len(lines) > 1 and all(_is_json(line) for line in lines)
        return "application/jsonlines" if several else "application/json"
    return DEFAULT_TYPE


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


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
        raise _InvocationFailed(f"{answer.status}: {_error_reason(answer)}")
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
        raise _InvocationFailed(f"{error.answer.status}: {_error_reason(error.answer)}") from None
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
    return _name_flags(" ".join(text.split())[:500]) or "no reason given"


def _name_flags(text: str) -> str:
    """An error in the command's own words: people gave ``--target-model``, not TargetModel."""
    for member, flag in FLAGS:
        text = re.sub(rf"\b{member}\b", flag, text)
    return text
