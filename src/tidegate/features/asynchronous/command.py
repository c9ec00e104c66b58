"""``queue send`` and ``queue show``: sends asynchronous requests and shows the queue."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli import draw
from tidegate.cli.client import ApiClient, ServerAnswer, ServerError
from tidegate.cli.output import AsJson, Name, client, console, show, user_name
from tidegate.cli.progress import ProgressBar
from tidegate.cli.tables import Table, address, key, number, sentence
from tidegate.domain.asynchronous import MAX_INLINE_BYTES
from tidegate.domain.errors import Invalid, TidegateError

PREFIX = "X-Amzn-SageMaker-"
POLL_EVERY = 0.2


class _RequestFailed(TidegateError):
    """The request ended without an answer."""


def invoke_async(
    name: Name,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file, or an address (s3://, file://).", show_default=False)
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer.")] = False,
    content_type: Annotated[str, typer.Option(help="Type of the input.")] = "text/csv",
    accept: Annotated[str | None, typer.Option(help="Type of the answer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Queue a request on an asynchronous endpoint.

    Prints where its answer will be.

    \b
    Examples:
      tidegate queue send fraud rows.csv
      tidegate queue send fraud s3://inputs/rows.csv --wait
    """
    headers = {f"{PREFIX}Content-Type": content_type}
    if accept is not None:
        headers[f"{PREFIX}Accept"] = accept
    body = b""
    if "://" in file:
        headers[f"{PREFIX}InputLocation"] = file
    else:
        body = _read_or_address(Path(file), headers)
    with client() as server:
        answer = server.invoke_async(name, body, headers)
        if answer.status != 202:
            raise _RequestFailed(f"{answer.status}: {_error_message(answer)}")
        id = json.loads(answer.body)["InferenceId"]
        done: dict[str, Any] = {
            "inference_id": id,
            "output": answer.headers[f"{PREFIX}OutputLocation".lower()],
            "failure": answer.headers.get(f"{PREFIX}FailureLocation".lower()),
        }
        if wait:
            with ProgressBar(f"waiting for the answer of {name}", quiet=as_json):
                done["outcome"] = _wait_for_outcome(server, name, id)
    show(done, as_json, done["output"])


def queue(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of requests, newest first.")] = 20,
    empty: Annotated[bool, typer.Option("--empty", help="End what waits as failed, after a question.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --empty: do not ask.")] = False,
    reason: Annotated[str, typer.Option(help="With --empty: why, for the journal and each request.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show the queue of an asynchronous endpoint.

    What waits, what is in progress, and the outcome of its latest requests. With --empty, each request that waits
    fails, with the usual failure notification. Requests in progress and later ones are not affected.

    \b
    Examples:
      tidegate queue show fraud
      tidegate queue show fraud --json | jq .backlog
      tidegate queue show fraud --empty --reason 'inputs of a broken export'
    """
    with client() as server:
        if empty:
            _empty(server, name, reason, yes=yes, as_json=as_json)
            return
        found = server.queue(name, limit)
    if as_json:
        print(json.dumps(found))
        return
    backlog = found["backlog"]
    print(f"{backlog['waiting']} waiting, {backlog['working']} in progress")
    shown = Table(key("REQUEST"), key("STATE"), number("TRIES"), address("OUTPUT"), sentence("WHY"))
    for row in found["requests"]:
        why = (row["outcome"] or {}).get("reason", "")
        shown.add_row(row["inference_id"], draw.status_text(row["state"]), str(row["tries"]), row["output"], why)
    if found["requests"]:
        console().print(shown)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _empty(server: ApiClient, name: str, reason: str, *, yes: bool, as_json: bool) -> None:
    found = server.queue(name, 1)
    waiting, latest = found["backlog"]["waiting"], found["requests"]
    # What arrives after the question is not what was asked about.
    through = None if yes else latest[0]["accepted_at"] if latest else 0.0
    if not yes:
        if not _is_terminal():
            raise Invalid(f"{waiting} waiting requests of {name} would fail: say --yes where there is no terminal")
        typer.confirm(f"{waiting} waiting requests of {name} fail. Empty its queue?", abort=True, err=True)
    done = server.empty_queue(name, user_name(), reason, through)
    show(done, as_json, f"{name}: {done['emptied']} requests taken out of the queue")


def _read_or_address(path: Path, headers: dict[str, str]) -> bytes:
    """Content of a small file, else its address for the server, which must then be on this machine."""
    try:
        if path.stat().st_size <= MAX_INLINE_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
    headers[f"{PREFIX}InputLocation"] = path.resolve().as_uri()
    return b""


def _wait_for_outcome(server: ApiClient, name: str, id: str) -> dict[str, Any]:
    while True:
        try:
            outcome = server.queued(name, id)["outcome"]
        except ServerError as error:
            if error.status != 404:
                raise
            raise _RequestFailed(f"request {id} finished too long ago; see its output") from None
        if outcome is not None and outcome["end"] == "Completed":
            return dict(outcome)
        if outcome is not None:
            raise _RequestFailed(f"request {id}: {outcome['end'].lower()}: {outcome['reason']}")
        time.sleep(POLL_EVERY)


def _error_message(answer: ServerAnswer) -> str:
    try:
        document = json.loads(answer.body)
        return str(document.get("Message") or document.get("message"))
    except (ValueError, AttributeError):
        return "no reason given"
