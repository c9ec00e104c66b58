"""Finds the files of ground truth whose hours may have labels of a window. Blocks."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tidegate.domain.errors import MissingArtifact, TidegateError
from tidegate.domain.processing_job import StorageAccess
from tidegate.features.monitor.user_files import UserFile, list_user_files

_HOUR = re.compile(r"(?:^|/)(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]+$")
DAY = timedelta(days=1)


def list_truth(
    address: str, since: datetime, until: datetime, access: StorageAccess
) -> Iterator[tuple[float, UserFile]]:
    """Files below ``yyyy/mm/dd/hh`` with the epoch seconds at which their hour begins, from the hour of ``since`` to
    that of ``until``. There may be none. Raises TidegateError where they cannot be read."""
    first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = first.replace(hour=0)
    while day <= until:
        try:
            for file in list_user_files(f"{address.rstrip('/')}/{day:%Y/%m/%d}/", access):
                hour = _hour_of(file.path)
                if hour is not None and first <= hour <= until:
                    yield hour.timestamp(), file
        except MissingArtifact:
            pass  # a folder of a day without labels
        except TidegateError as error:
            raise type(error)(f"{address}: {error}") from None
        day += DAY


def _hour_of(path: str) -> datetime | None:
    found = _HOUR.search(path)
    if found is None:
        return None
    year, month, day, hour = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, tzinfo=UTC)
    except ValueError:
        return None
