"""How an endpoint's answers and labels are read, and what may change it."""

from collections.abc import Collection
from dataclasses import dataclass

from tidegate.domain.errors import Conflict
from tidegate.features.labels.ledger import LabelKind

CHANGE = "an operator may change it: PUT labels/terms, or 'tidegate labels terms'"


@dataclass(frozen=True)
class LabelTerms:
    """``where``: the place of the score; ``kind`` None: nobody said, and nearly all labels tell.

    ``left_open``: ``score`` and ``kind``, where an operator took back what was said; nobody who posts labels may say
    it again.
    """

    where: str = ""
    kind: LabelKind | None = None
    left_open: tuple[str, ...] = ()

    @property
    def scored(self) -> bool:
        """Whether an answer must have a score."""
        return self.kind is not LabelKind.FEEDBACK

    def with_said(self, given: "LabelTerms") -> "LabelTerms":
        """Return these terms with those of ``given``. Terms that ``given`` omits stay, and so do those that an
        operator left open."""
        where = self.where if "score" in self.left_open else given.where or self.where
        return LabelTerms(
            where, self.kind if "kind" in self.left_open else given.kind or self.kind, self.left_open
        )

    def changed_by_operator(self, given: "LabelTerms", unset: Collection[str]) -> "LabelTerms":
        """Return these terms as an operator changes them. ``unset``: which of ``score`` and ``kind`` are no longer
        specified."""
        now_said = {"score": bool(given.where), "kind": given.kind is not None}
        left_open = {one for one in self.left_open if not now_said[one]} | set(unset)
        where = "" if "score" in unset else given.where or self.where
        kind = None if "kind" in unset else given.kind or self.kind
        return LabelTerms(where, kind, tuple(sorted(left_open)))


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
    if posted.kind is not None and before is None and "kind" in now.left_open:
        raise Conflict(f"an operator left it to the labels what they are, and these say {posted.kind}; {CHANGE}")
    if posted.where and posted.where != now.where and (now.where or predicted or "score" in now.left_open):
        read = f"at {now.where}" if now.where else "from answers that are one number"
        raise Conflict(f"scores of this endpoint are read {read}, and these labels say {posted.where}; {CHANGE}")


def describe_terms(terms: LabelTerms) -> str:
    kind = f"labels are {terms.kind}" if terms.kind else "labels tell what they are"
    return f"{kind}, scores are {f'at {terms.where}' if terms.where else 'answers that are one number'}"
