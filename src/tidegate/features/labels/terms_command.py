"""``labels terms``: change how an endpoint's labels and answers are read."""

from enum import StrEnum
from typing import Annotated

import typer

from tidegate.cli.output import AsJson, Name, client, show
from tidegate.domain.errors import Invalid
from tidegate.features.labels.ledger import LabelKind


class _UnsetTerm(StrEnum):
    KIND = "kind"
    SCORE = "score"


Kind = Annotated[LabelKind | None, typer.Option(help="What labels are.")]
Score = Annotated[
    str, typer.Option(metavar="PLACE", help="Place of the score in an answer: a column, or predictions[0].score.")
]
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
