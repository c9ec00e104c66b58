"""Traces of rollouts follow from the journal: whole trees, whose ids do not change as it grows."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property import rollout_worlds as worlds
from tests.property.rollout_worlds import Setting, check
from tidegate.domain.observation import Event
from tidegate.features.tracing.journal_spans import JournalSpan, make_spans
from tidegate.ports.store import JournalLine
from tidegate.simulation.world import World

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=5), st.just("Baking")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["id", "phase", "stage", "back", "plan", "stages", "alarms", "new", "last", "rollout"]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


def journal(world: World) -> list[JournalLine]:
    return [
        JournalLine(
            number,
            BEGAN + timedelta(seconds=entry.at),
            *("endpoint", "simulated", number, msgspec.to_builtins(entry.record), entry.events),
        )
        for number, entry in enumerate(world.journal, 1)
    ]


def check_trees(found: list[JournalSpan]) -> None:
    spans = [one.span for one in found]
    assert max(Counter((span.trace_id, span.span_id) for span in spans).values(), default=1) == 1
    roots = {span.trace_id: span for span in spans if span.parent is None}
    assert len(roots) == sum(span.parent is None for span in spans)
    for span in spans:
        assert span.start <= span.end
        assert all(span.start <= event.at <= span.end for event in span.events)
        if span.parent is not None and span.trace_id in roots:
            root = roots[span.trace_id]
            assert span.parent == root.span_id
            assert root.start <= span.start and span.end <= root.end


@settings(max_examples=25)
@given(worlds.settings(worlds.anything))
def test_every_journal_gives_whole_trees_and_a_part_of_it_the_same_spans(setting: Setting) -> None:
    lines = journal(check(setting))
    whole = make_spans(lines)
    check_trees(whole)
    rollouts = {
        line.body["rollout"]["id"] for line in lines if isinstance(line.body, dict) and line.body["rollout"]
    }
    assert len({one.span.trace_id for one in whole if one.span.parent is None}) == len(rollouts)
    assert all("tidegate.outcome" in one.span.attributes for one in whole if one.span.parent is None)
    for number in range(len(lines) + 1):
        assert make_spans(lines[:number]) == [one for one in whole if one.line <= number]


@given(st.lists(st.tuples(st.sampled_from(["endpoint", "alarm"]), json, st.integers(-99, 99)), max_size=8))
@example([("endpoint", {"id": "r", "phase": ["Baking"]}, 0), ("endpoint", None, 1)])
def test_a_journal_that_nobody_would_write_gives_spans_that_are_whole_too(
    told: list[tuple[str, object, int]],
) -> None:
    """Records of other versions, and a clock that was set."""
    lines = [
        JournalLine(
            number,
            BEGAN + timedelta(seconds=at),
            *(kind, "guard", number, {"rollout": body, "last": body}),
            (Event("alarm", "", {"item": "StateUpdate", "oldState": body, "newState": body}),),
        )
        for number, (kind, body, at) in enumerate(told, 1)
    ]
    check_trees(make_spans(lines))
