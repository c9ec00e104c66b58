"""``labels``: how good predictions were by labels that came later, what people think of answers, and how both are
read."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from tidegate.cli.capture_addresses import captured_at, s3_of
from tidegate.cli.output import AsJson, Name, client, console, show
from tidegate.cli.progress import ProgressBar
from tidegate.cli.report_files import chosen_files, takes_report_files
from tidegate.cli.tables import Table
from tidegate.domain.errors import Invalid
from tidegate.features.labels.command_report import make_report
from tidegate.features.labels.ledger import LabelKind
from tidegate.features.labels.posted import MOST_LABELS, render_posted
from tidegate.features.labels.report import QualityQuestion, report_quality
from tidegate.features.labels.tables import render_quality, render_remarks, render_versions
from tidegate.rows.label_lines import LineProblem, check_place, read_label
from tidegate.rows.sources import Line, read_lines
from tidegate.spec.units import percent, seconds

UNMET = 1
"""Exit status where a measure is below what was asked for, or cannot be said."""


Truth = Annotated[
    list[str] | None,
    typer.Argument(metavar="[LABELS]...", help="Files, folders or addresses (s3://, file://) of labels."),
]
Post = Annotated[bool, typer.Option("--post", help="Send LABELS to the server, to measure each version.")]
Captures = Annotated[
    list[str] | None,
    typer.Option(metavar="ADDRESS", help="Captures. Default: where the endpoint captures to. Repeatable."),
]
Score = Annotated[
    str, typer.Option(metavar="PLACE", help="Place of the score in an answer: a column, or predictions[0].score.")
]
Require = Annotated[
    list[str] | None,
    typer.Option(metavar="MEASURE=LEAST", help="Exit status 1 unless it is reached: auc=0.8. Repeatable."),
]


@takes_report_files
def labels(
    name: Name,
    truth: Truth = None,
    *,
    post: Post = False,
    captures: Captures = None,
    score: Score = "",
    threshold: Annotated[float, typer.Option(help="Scores from it on are positive.")] = 0.5,
    top: Annotated[str, typer.Option(metavar="SHARE", help="Highest scores whose precision is measured.")] = "1%",
    latest: Annotated[str, typer.Option(metavar="TIME", help="After it a label is too late.")] = "365d",
    require: Require = None,
    as_json: AsJson = False,
) -> None:
    """Measure predictions by labels that came later.

    Labels are lines of SageMaker's ground truth; they are joined with captures by inference id. Without LABELS, say
    what the server knows by those that were posted to it.

    \b
    Examples:
      tidegate labels measure fraud
      tidegate labels measure fraud labels.jsonl --post
      tidegate labels measure fraud labels.jsonl
      tidegate labels measure fraud s3://labels/fraud --top 5% --require auc=0.7 --json
      tidegate labels measure fraud --html labels.html
    """
    check_place(score)
    wanted = dict(map(_parse_requirement, require or ()))
    if not truth or post:
        if captures or wanted or (post and not truth):
            raise Invalid("--post needs LABELS; --captures and --require are for labels that are measured here")
        if post and chosen_files().wanted:
            raise Invalid("--html and --png show what is known: leave out --post")
        found = _ask_server(name, truth, score, as_json)
        _draw(name, found)
        return
    asked = QualityQuestion(
        score, threshold, percent(top, ("--top",)) / 100, seconds(latest, ("--latest",), least=1)
    )
    s3 = s3_of(os.environ)
    with ProgressBar(f"reading captures and labels of {name}", quiet=as_json):
        found = report_quality(_lines(captures or captured_at(name), s3), _lines(truth, s3), asked, time.time())
    unmet = [measure for measure, least in wanted.items() if not _reaches(found["quality"], measure, least)]
    _draw(name, found)
    _tell({"endpoint": name, **found, "unmet": unmet}, render_quality(found, unmet), as_json)
    if unmet:
        raise typer.Exit(UNMET)


def _draw(name: str, found: Mapping[str, Any]) -> None:
    """Write the report that somebody asked for."""
    files = chosen_files()
    if files.wanted:
        files.write(make_report(name, found, list(render_remarks(found))))


def _ask_server(name: str, truth: list[str] | None, score: str, as_json: bool) -> dict[str, Any]:
    """Post labels, if there are any; otherwise show what the server knows."""
    if truth:
        done = _send(name, _lines(truth, s3_of(os.environ)), score)
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in done["outcomes"].items())
        what = f"{done['received']:,} labels are kept for endpoint {name}"
        _tell(done, [Text(f"{what} ({said})" if said else what)], as_json)
        return done
    with client() as server:
        found = server.labels(name)
    _tell(found, render_versions(found), as_json)
    return found


def _tell(found: Mapping[str, Any], parts: Iterable[Table | Text], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    screen = console()
    for part in parts:
        screen.print(part)


def _parse_requirement(text: str) -> tuple[str, float]:
    """Raises Invalid."""
    measure, equals, least = text.partition("=")
    known = ("accuracy", "auc", "auc_low", "average_precision", "precision_top")
    try:
        if not equals or measure not in known:
            raise ValueError
        return measure, float(least)
    except ValueError:
        raise Invalid(f"--require {text}: expected MEASURE=LEAST, of {', '.join(known)}") from None


def _reaches(quality: Mapping[str, Any] | None, measure: str, least: float) -> bool:
    """Return whether a measure has at least this value. A measure without a value does not."""
    value = quality.get(measure) if quality is not None else None
    return value is not None and value >= least


def _lines(addresses: list[str], s3: tuple[str, str]) -> Iterator[Line]:
    for address in addresses:
        yield from read_lines(address, s3)


def _send(name: str, lines: Iterator[Line], score: str) -> dict[str, Any]:
    """Post labels from files to the server. Returns counts by outcome."""
    counts, sent = Counter[str](), 0
    read = (read_label(line, path) for path, line in lines)
    with client() as server:
        while group := list(islice(read, MOST_LABELS)):
            labels = [one for one in group if not isinstance(one, LineProblem)]
            counts.update(str(one) for one in group if isinstance(one, LineProblem))
            body = {"labels": render_posted(labels)} | ({"score": score} if score else {})
            answer = server.post_labels(name, body)
            counts.update(answer["outcomes"])
            sent += answer["received"]
    return {"endpoint": name, "received": sent, "outcomes": dict(counts)}


# --- ``labels feedback``: what people think of an endpoint's answers, posted by inference id ---


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
        done = _send_votes(name, _read_votes(votes))
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


def _read_votes(addresses: list[str]) -> Iterator[object]:
    """Yield the lines as objects. A line that is not JSON becomes None, which the server reports."""
    for address in addresses:
        for _, line in read_lines(address, s3_of(os.environ)):
            try:
                yield msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError, ValueError):
                yield None


def _send_votes(name: str, votes: Iterator[object]) -> dict[str, Any]:
    """Returns counts by outcome."""
    counts, sent = Counter[str](), 0
    with client() as server:
        while group := list(islice(votes, MOST_LABELS)):
            answer = server.post_labels(name, {"labels": group, "kind": str(LabelKind.FEEDBACK)})
            counts.update(answer["outcomes"])
            sent += answer["received"]
    return {"endpoint": name, "received": sent, "outcomes": dict(counts)}


# --- ``labels terms``: change how an endpoint's labels and answers are read ---


class _UnsetTerm(StrEnum):
    KIND = "kind"
    SCORE = "score"


Kind = Annotated[LabelKind | None, typer.Option(help="What labels are.")]
Unset = Annotated[
    list[_UnsetTerm] | None,
    typer.Option(help='Set it back to "not said": labels and answers tell. May be repeated.'),
]
Reason = Annotated[str, typer.Option(help="Why, for the audit.")]


def label_terms(
    name: Name,
    kind: Kind = None,
    score: Score = "",
    unset: Unset = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Change how labels and answers are read.

    Labels that are posted may say it once. To say otherwise later changes what alarms see, so it takes an operator,
    and the audit has it. What is set back to "not said" is no longer for those who post labels to say.

    \b
    Examples:
      tidegate labels terms prices --kind amounts
      tidegate labels terms fraud --score predictions[0].score --reason "the new container answers JSON"
      tidegate labels terms prices --unset kind
    """
    if kind is None and not score and not unset:
        raise Invalid("neither --kind nor --score is given: say what labels are, or where the score is")
    body: dict[str, object] = {"kind": str(kind)} if kind else {}
    if unset:
        body["unset"] = [str(term) for term in unset]
    if score:
        body["score"] = score
    if reason:
        body["reason"] = reason
    with client() as server:
        found = server.change_label_terms(name, body)
    place = f"at {found['score']}" if found["score"] else "from answers that are one number"
    show(
        found,
        as_json,
        f"endpoint {name}: labels are {found['kind'] or 'what nearly all are'}; scores are read {place}",
    )
