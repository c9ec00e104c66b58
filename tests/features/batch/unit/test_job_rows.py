"""Batch jobs as rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidegate.console.rendering import TEMPLATES
from tidegate.features.batch.pages import job_row

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUNNING: dict[str, Any] = {
    "job": "nightly",
    "status": "InProgress",
    "reason": "",
    "waiting": "",
    "model": "fraud",
    "created": (NOW - timedelta(minutes=3)).isoformat(),
    "seconds": 75.5,
    "eta": 125.0,
    "objects": 8,
    "objects_done": 2,
    "objects_failed": 1,
    "records": 12_000,
    "bad_records": 3,
    "bytes": 4 * 1024 * 1024,
    "bytes_done": 1024 * 1024,
}


def test_a_running_job_shows_how_far_it_is_and_what_is_left() -> None:
    row = job_row(RUNNING, NOW)
    assert (row["part"], row["bytes"], row["left"], row["took"]) == (25.0, "1 MiB of 4 MiB", "2:05", "1:15")
    assert (row["objects"], row["failed"], row["records"], row["age"]) == ("2 of 8", 1, "12,000", "3 min ago")


def test_a_job_whose_size_is_not_known_claims_no_progress() -> None:
    row = job_row({**RUNNING, "bytes": 0, "bytes_done": 0, "eta": None}, NOW)
    assert (row["part"], row["bytes"], row["left"]) == (None, "–", "")


def test_an_ended_job_says_why() -> None:
    row = job_row({**RUNNING, "status": "Failed", "reason": "no rows", "eta": None}, NOW)
    assert (row["tone"], row["detail"], row["left"]) == ("bad", "no rows", "")


@pytest.mark.parametrize(("status", "resumable"), [("Failed", True), ("Stopped", True), ("Completed", False)])
def test_operators_are_offered_to_resume_what_can_be(status: str, resumable: bool) -> None:
    row = job_row({**RUNNING, "job": "a<b>", "status": status, "eta": None}, NOW)
    listed: Any = TEMPLATES.get_template("job_list.html").module
    for may in (True, False):
        text = str(listed.jobs([row], "http://x", may))
        assert ('data-resume="a&lt;b&gt;"' in text) is (resumable and may)
