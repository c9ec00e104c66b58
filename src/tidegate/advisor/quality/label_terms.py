"""How an endpoint's answers and labels are read, and what may change it."""

from dataclasses import dataclass

from tidegate.advisor.quality.ledger import LabelKind
from tidegate.domain.errors import Conflict

CHANGE = "an operator may change it: PUT labels/terms, or 'tidegate label-terms'"


@dataclass(frozen=True)
class LabelTerms:
    """``where``: the place of the score; ``kind`` None: nobody said, and nearly all labels tell."""

    where: str = ""
    kind: LabelKind | None = None

    @property
    def scored(self) -> bool:
        """Whether an answer must have a score."""
        return self.kind is not LabelKind.FEEDBACK

    def with_said(self, given: "LabelTerms") -> "LabelTerms":
        """What is not said stays."""
        return LabelTerms(given.where or self.where, given.kind or self.kind)


def check_posted(now: LabelTerms, posted: LabelTerms, *, predicted: bool, seen: LabelKind | None) -> None:
    """Refuse terms that come with labels and contradict how labels and predictions were read so far: whoever may use
    an endpoint may post labels, and its alarms rest on them.

    ``predicted``: whether predictions have been read; ``seen``: what the labels are that there are. Raises Conflict.
    """
    before = now.kind or seen
    if posted.kind is not None and before is not None and posted.kind is not before:
        raise Conflict(
            f"labels of this endpoint are {before}, and these say that they are {posted.kind}; {CHANGE}"
        )
    if posted.where and posted.where != now.where and (now.where or predicted):
        read = f"at {now.where}" if now.where else "from answers that are one number"
        raise Conflict(f"scores of this endpoint are read {read}, and these labels say {posted.where}; {CHANGE}")


def describe_terms(terms: LabelTerms) -> str:
    kind = f"labels are {terms.kind}" if terms.kind else "labels tell what they are"
    return f"{kind}, scores are {f'at {terms.where}' if terms.where else 'answers that are one number'}"
