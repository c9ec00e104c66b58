"""Whatever a line of the journal holds, those who read it go on: lines of other versions, and damaged ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.memory_store import MemoryTx
from tidegate.console import endpoint_parts, rollout_picture
from tidegate.domain.endpoint import Rollout
from tidegate.domain.rollout import DeploymentConfig, RolloutPlan, Version
from tidegate.domain.traffic import WHOLE
from tidegate.features.tracing import journal_spans
from tidegate.features.tracing.rollout_traces import find_ended
from tidegate.gateway.journal_view import read_events as read_page
from tidegate.ports.store import JournalLine
from tidegate.service import alarms, endpoints, state_events
from tidegate.store.journal import decode_events
from tidegate.store.patches import apply_patch

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
KINDS = ("endpoint", "alarm", "model", "config", "package", "transform", "other")
NAMES = (
    *("id", "phase", "stage", "back", "back_stage", "plan", "stages", "share", "alarms", "new", "old", "last"),
    *("rollout", "started_at", "generation", "fence", "cause", "reason", "name", "config_name", "serving"),
    *("kind", "message", "data", "item", "oldState", "newState", "stateValue", "created_at", "modified_at"),
)
WORDS = st.sampled_from(
    ["Baking", "RollingBack", "Succeeded", "Alarm", "guard", "StateUpdate", "rollout.ActivatingTraffic"]
) | st.sampled_from(["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59", "2026-03-01T00:00:00Z", "\ud800", "\0"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)
LINES = st.lists(
    st.tuples(st.sampled_from(KINDS), ANYTHING, ANYTHING | st.lists(ANYTHING, max_size=2), st.integers(-9, 9)),
    max_size=6,
)
EVENT = [{"kind": "rollout.ActivatingTraffic", "message": "", "data": {"rollout": "r", "share": 10**400}}]
ROLLOUT = Rollout("r", None, Version(1, "c", ()), DeploymentConfig(), RolloutPlan(()), BEGAN)


def made(told: list[tuple[str, Any, Any, int]]) -> list[JournalLine]:
    return [
        JournalLine(number, BEGAN + timedelta(seconds=at), kind, "guard", number, body, decode_events(events))
        for number, (kind, body, events, at) in enumerate(told, 1)
    ]


@given(LINES)
@example([("endpoint", {"rollout": {"id": "r", "phase": ["Baking"]}}, [], 0), ("endpoint", None, [], 1)])
@example([("endpoint", {"rollout": {"id": "r", "phase": {}}}, [], 0), ("endpoint", {}, [], 1)])
@example([("endpoint", {"rollout": {"id": "r", "started_at": "0001-01-01T00:00:00+00:00"}}, EVENT, 0)])
@example([("endpoint", {"rollout": {"id": "r", "started_at": "2026-03-01T00:00:00"}}, EVENT, 0)])
@example([("endpoint", {"generation": "9", "fence": [1]}, [{"kind": 1}, 7, {"kind": "a", "message": None}], 0)])
@example([("endpoint", {"rollout": {"id": "r", "stage": 0, "plan": {"stages": [{"share": 10**400}]}}}, [], 0)] * 2)
def test_no_line_stops_those_who_read_it(told: list[tuple[str, Any, Any, int]]) -> None:
    lines = made(told)
    tx = MemoryTx({}, lines)
    for after in (0, 1):
        spans, through = find_ended(tx, after)
        assert through == max([after, *(line.seq for line in lines)])
        assert all(one.span.start <= one.span.end for one in spans)
    journal_spans.make_spans(lines)
    place = state_events.AccountRegion("us-east-1", "000000000000")
    assert state_events.read_events(tx, 0, place).through == len(lines)
    assert state_events.newest_line(tx) == len(lines)
    alarms.history(tx, alarms.HistoryFilter(), 100)
    assert endpoints.first_number(tx, "guard", BEGAN) > 0
    endpoint_parts.timeline(lines)
    points = rollout_picture.share_points(ROLLOUT, lines)
    assert all(0 <= share <= WHOLE for _, share in points)
    rollout_picture.draw_chart(ROLLOUT, points, lines, BEGAN + timedelta(hours=1))
    if any(line.kind == "endpoint" for line in lines):
        page = read_page(tx, "guard", 0, 100)
        assert len(page.events) == sum(len(line.events) for line in lines if line.kind == "endpoint")


@given(ANYTHING, ANYTHING)
@example([".", None, None], {})
@example(["#", {"x": 1}], [1])
@example(["@", [[]]], {})
@example(7, None)
def test_a_patch_fits_or_is_refused_by_one_error(patch: Any, before: Any) -> None:
    try:
        apply_patch(patch, before)
    except ValueError as error:
        assert "patch" in str(error)
