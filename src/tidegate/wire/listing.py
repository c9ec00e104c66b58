"""What SageMaker's List operations share: filters, order and pages."""

from dataclasses import dataclass

from tidegate.ports.store import Filter
from tidegate.wire.operation import Params

PAGE = 10
"""Entries of a page unless MaxResults says otherwise."""

_SORT = {"Name": "name", "CreationTime": "created", "Status": "created"}


@dataclass(frozen=True)
class Listing:
    where: Filter
    limit: int
    after: str | None


def listing(params: Params) -> Listing:
    where = Filter(
        name_contains=params.get("NameContains"),
        created_after=params.get("CreationTimeAfter"),
        created_before=params.get("CreationTimeBefore"),
        modified_after=params.get("LastModifiedTimeAfter"),
        modified_before=params.get("LastModifiedTimeBefore"),
        sort_by=_SORT[params.get("SortBy", "CreationTime")],
        descending=params.get("SortOrder", "Descending") == "Descending",
    )
    return Listing(where, params.get("MaxResults", PAGE), params.get("NextToken"))
