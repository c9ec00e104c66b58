"""``labels feedback``: what people think of an endpoint's answers, posted by inference id."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import msgspec
import typer

from tidegate.cli.capture_addresses import s3_of
from tidegate.cli.output import AsJson, Name, client, console
from tidegate.features.labels.ledger import LabelKind
from tidegate.features.labels.posted import MOST_LABELS
from tidegate.features.labels.tables import render_versions
from tidegate.rows.sources import read_lines

Votes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[VOTES]...", help="Files, folders or addresses (s3://, file://) of votes."),
]


def feedback(name: Name, votes: Votes = None, as_json: AsJson = False) -> None:
    """Post what people think of answers, and show it.

    Without VOTES: what is known of each version by it.

    A line is {"id": "question-1", "label": "up"}: the request's inference id, and up, down, or a number from 0 to 1.

    \b
    Examples:
      tidegate labels feedback chat votes.jsonl
      tidegate labels feedback chat
    """
    if votes:
        done = _send(name, _read(votes))
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in done["outcomes"].items())
        text = f"{done['received']:,} votes are kept for endpoint {name}"
        print(json.dumps(done) if as_json else f"{text} ({said})" if said else text)
        return
    with client() as server:
        found = server.labels(name)
    if as_json:
        print(json.dumps(found))
        return
    screen = console()
    for part in render_versions(found):
        screen.print(part)


def _read(addresses: list[str]) -> Iterator[object]:
    """Yield the lines as objects. A line that is not JSON becomes None, which the server reports."""
    for address in addresses:
        for _, line in read_lines(address, s3_of(os.environ)):
            try:
                yield msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError, ValueError):
                yield None


def _send(name: str, votes: Iterator[object]) -> dict[str, Any]:
    """Returns counts by outcome."""
    counts, sent = Counter[str](), 0
    with client() as server:
        while group := list(islice(votes, MOST_LABELS)):
            answer = server.post_labels(name, {"labels": group, "kind": str(LabelKind.FEEDBACK)})
            counts.update(answer["outcomes"])
            sent += answer["received"]
    return {"endpoint": name, "received": sent, "outcomes": dict(counts)}
