"""Filters, order and pages of SageMaker's List operations."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tidegate.domain.errors import Invalid
from tidegate.ports.store import Filter, Kind, RecordPage, StoredRecord, Tx, Unreadable
from tidegate.wire.operation import Params

T = TypeVar("T")
E = TypeVar("E")
S = TypeVar("S")

PAGE_SIZE = 10
"""Page size if MaxResults is absent."""

READ_AT_ONCE = 100
"""Records that are read at a time where not each of them belongs to the page."""

_SORT = {"Name": "name", "CreationTime": "created", "Status": "created"}


@dataclass(frozen=True)
class Listing:
    where: Filter
    limit: int
    after: str | None


def parse_listing(params: Params, order: str = "Descending") -> Listing:
    """``order`` is the operation's default SortOrder."""
    where = Filter(
        name_contains=params.get("NameContains"),
        created_after=params.get("CreationTimeAfter"),
        created_before=params.get("CreationTimeBefore"),
        modified_after=params.get("LastModifiedTimeAfter"),
        modified_before=params.get("LastModifiedTimeBefore"),
        sort_by=_SORT[params.get("SortBy", "CreationTime")],
        descending=params.get("SortOrder", order) == "Descending",
    )
    return Listing(where, params.get("MaxResults", PAGE_SIZE), params.get("NextToken"))


Shown = StoredRecord[T] | Unreadable
"""A record of a listing."""


def show_page(page: RecordPage[T], where: Filter) -> list[Shown[T]]:
    """The page with the records that cannot be read, which are there, too."""
    found: list[Shown[T]] = [*page.items, *page.unreadable]
    if not page.unreadable:
        return found
    found.sort(key=lambda one: one.name, reverse=where.descending)
    if where.sort_by != "name":
        times = {"created": lambda one: one.created_at, "modified": lambda one: one.modified_at}
        found.sort(key=times[where.sort_by], reverse=where.descending)
    return found


def find_by_status(
    tx: Tx, kind: Kind[T], params: Params, status: Callable[[Shown[T]], str]
) -> tuple[list[Shown[T]], str | None]:
    """A page of the records with the status that is asked for. Status is derived and therefore not indexed: records
    are read from where the page begins until one more than the page takes has matched."""
    wanted = parse_listing(params)
    found, after, token = list[Shown[T]](), wanted.after, None
    while True:
        read = tx.find(kind, wanted.where, max(READ_AT_ONCE, wanted.limit + 1), after)
        for place, saved in enumerate(show_page(read, wanted.where), 1):
            if status(saved) != params["StatusEquals"]:
                continue
            if len(found) == wanted.limit:
                return found, token
            found.append(saved)
            if len(found) == wanted.limit:
                token = tx.find(kind, wanted.where, place, after).next
        if read.next is None:
            return found, None
        after = read.next


def list_by_status(every: list[S], params: Params, status: Callable[[S], str]) -> tuple[Sequence[S], str | None]:
    """Filter by status, which is derived and therefore not indexed: reads ``every`` record that passes the other
    filters and takes a page of the matches."""
    wanted = parse_listing(params)
    found = every
    if "StatusEquals" in params:
        found = [saved for saved in found if status(saved) == params["StatusEquals"]]
    if params.get("SortBy") == "Status":
        found.sort(key=status, reverse=wanted.where.descending)
    return take_page(found, params)


def take_page(found: Sequence[E], params: Params) -> tuple[Sequence[E], str | None]:
    """The requested page of ``found``, and the token of the next one."""
    start = _decode_token(params.get("NextToken"))
    end = start + params.get("MaxResults", PAGE_SIZE)
    return found[start:end], _encode_token(end) if end < len(found) else None


def _encode_token(start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"from": start}).encode()).decode()


def _decode_token(token: str | None) -> int:
    try:
        return 0 if token is None else max(0, int(json.loads(base64.urlsafe_b64decode(token))["from"]))
    except (ValueError, KeyError, TypeError):
        raise Invalid("NextToken is not from this listing: start from the first page") from None
