"""Every kind of bad input to what judges models, with the name of its outcome: one table."""

import json
import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.features.drift.unit.drift_looks import END, WINDOW, Folder, analyse, baseline, line, usual
from tidegate.domain.capture import Capture
from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig
from tidegate.domain.fleet import FleetId
from tidegate.domain.pairs import Pair
from tidegate.domain.replay import ReplayConfig
from tidegate.features.capture.worker.recorder import CAPTURED, DROPPED, Recorder
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.ledger import PairCounters
from tidegate.features.evidence.replay.labelled import compare_labelled
from tidegate.features.evidence.replay.replay_judge import UNSEEN, judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.labels.ledger import SKEW, LabelKind, Ledger
from tidegate.rows.captured_rows import Unusable
from tidegate.rows.label_lines import Label, Prediction
from tidegate.rows.row_files import RowTerms, draw_captures, read_captures
from tidegate.rows.scores import read_scores
from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.replica_spec import CaptureSpec, ReplicaSpec

NOWHERE = "file:///nowhere/at/all"
AT, DAY, YEAR = 1_700_000_000.0, 86_400.0, 366 * 86_400.0


def late(*labels: Label, kind: LabelKind | None = None) -> Callable[[Path], str]:
    def run(folder: Path) -> str:
        with Ledger(folder) as ledger:
            ledger.add_predictions([Prediction("a", AT, 0.5), Prediction("b", AT, 0.6)])
            ledger.add_labels(labels)
            found = ledger.join(YEAR, AT + 2 * YEAR, kind=kind)
        return ", ".join(sorted(f"{outcome}: {count}" for outcome, count in found.items() if count))

    return run


def drift(document: object = None, count: int = 600, broken: int = 0, **changes: object) -> Callable[[Path], str]:
    def run(folder: Path) -> str:
        here = Folder(folder)
        here.capture([*here.rows(count=count), *([b"{broken"] * broken)], END - WINDOW)
        outcome = analyse(here.task(baseline() if document is None else document, **changes))
        return f"{outcome.verdict}: {outcome.reason}"

    return run


def constant(folder: Path) -> str:
    here = Folder(folder)
    here.capture(here.rows(lambda draw: {"constant": 1.0}), END - WINDOW)
    outcome = analyse(here.task(baseline(lambda draw: {"constant": 1.0})))
    return f"{outcome.verdict}: {outcome.reason}"


def compare_broken(folder: Path) -> str:
    good = [line(usual(random.Random(1)), END).encode()] * 8
    return read_captures([*good, b"{broken", b"[]"], RowTerms()).doubt


def compare_some_broken(folder: Path) -> str:
    good = [line(usual(random.Random(1)), END).encode()] * 9
    found = read_captures([*good, b"{broken"], RowTerms())
    return f"{found.skipped[Unusable.BROKEN]} counted, doubt: {found.doubt or 'none'}"


def compare_window(folder: Path) -> str:
    lines = [line(usual(random.Random(1)), END + timedelta(hours=hour)).encode() for hour in (-2, 2)]
    since = END.timestamp() - 3_600
    found = draw_captures(lines, RowTerms(), 10, since, since + 7_200)
    return f"{len(found.requests)} rows"


def compare_class(folder: Path) -> str:
    labels = [float(place % 2) for place in range(400)]
    labels[7] = 7.0
    found = compare_labelled([place / 400 for place in range(400)], [0.5] * 400, labels)
    assert found is not None and found.binary is not None
    return f"classes, {found.unseen} left out"


def replay_class(folder: Path) -> str:
    labels = [float(place % 2) for place in range(400)]
    labels[7] = 7.0
    old = [0.4 * label + 0.3 if label <= 1 else 0.5 for label in labels]
    new = [1 - score for score in old]
    answers = ScoredRows(old, new, labels, [{} for _ in labels], labelled=True)
    found = judge_replay(answers, ReplayConfig("rows", label="y"), 0.005)
    assert found.skipped == {UNSEEN: 1}
    return f"{found.finding}: {found.reason.split()[0]}"


def no_number(folder: Path) -> str:
    return str(
        [read_scores(body, "application/json", "") for body in (b'"fraud"', b"NaN", b"[null]", b"true", b"1e999")]
    )


def pairs_without_numbers(folder: Path) -> str:
    config = EvidenceConfig((Comparison.PAIRED,))
    pairs = [Pair(0.5, None if place % 2 else float("nan")) for place in range(300)]
    sums = PairCounters.begin(config).count("AllTraffic", pairs)
    verdict = recompute(config, ["AllTraffic"], [EvidenceBlock(0, 1, 0, {}, sums)], 0)
    unusable = next(one for one in verdict.results[0].measurements if one.test == "unusable")
    return f"{verdict.finding}, {unusable.estimate * unusable.count:g} unusable"


def no_requests(folder: Path) -> str:
    return str(recompute(EvidenceConfig(), ["AllTraffic"], [], 0).finding)


def capture(limit: int, destination: str) -> Callable[[Path], str]:
    """Requests go on while nothing can be written: every one is offered, and the lost ones are counted."""

    def run(folder: Path) -> str:
        spec = ReplicaSpec(replica="r", fleet=FleetId("e", 1, "v"), config_name="c", containers=(), socket="")
        plan = Capture(destination or (folder / "out").as_uri())
        about = CaptureSpec(
            plan=plan, spool=str(folder / "spool" / "r"), spool_bytes=limit, seconds=0.01, roots=(str(folder),)
        )
        made = Recorder(spec, about, lambda: True)
        made.start()
        try:
            deadline, offered, found = time.monotonic() + 30, 0, dict[str, float]()
            while offered < 50 or found.get(DROPPED, 0) + found.get(CAPTURED, 0) < offered:
                assert time.monotonic() < deadline
                if offered < 50:
                    made.offer(
                        1_700_000_000_000_000, {b"content-type": b"text/csv"}, b"1", Answer(b"1", "text/csv")
                    )
                    offered += 1
                for note in made.take_notes():
                    found[note.name] = found.get(note.name, 0) + note.value
                time.sleep(0.002)
        finally:
            made.close()
        return "all answered, " + ("some lost and counted" if found.get(DROPPED) else "none lost")

    return run


CASES: list[tuple[str, Callable[[Path], str], str]] = [
    ("a label of an unknown id", late(Label("x", 1.0, AT)), "unknown id: 1"),
    ("a label twice", late(Label("a", 1.0, AT), Label("a", 1.0, AT)), "joined: 1, repeated: 1"),
    ("contradictory labels", late(Label("a", 1.0, AT), Label("a", 0.0, AT)), "contradictory: 2"),
    ("a label before its prediction", late(Label("a", 1.0, AT - DAY)), "before its prediction: 1"),
    ("a label years late", late(Label("a", 1.0, AT + 1.5 * YEAR)), "too late: 1"),
    ("a label of the future", late(Label("a", 1.0, AT + 3 * YEAR)), "of the future: 1"),
    ("clocks of hosts apart within reason", late(Label("a", 1.0, AT - SKEW + 1)), "joined: 1"),
    ("clocks of hosts further apart", late(Label("a", 1.0, AT - SKEW - 1)), "before its prediction: 1"),
    (
        "a label of a class never seen",
        late(Label("a", 1.0, AT), Label("b", 3.0, AT), kind=LabelKind.CLASSES),
        "class never seen: 1, joined: 1",
    ),
    ("a class never seen in labelled rows", compare_class, "classes, 1 left out"),
    ("a class never seen in a replay", replay_class, "fail: AUC"),
    (
        "captures with broken rows, of drift",
        drift(broken=200),
        "unknown: 200 captures of this window",
    ),
    ("captures with broken rows, of compare", compare_broken, "2 of 10 captures are broken"),
    ("captures with few broken rows", compare_some_broken, "1 counted, doubt: none"),
    ("captures of other times", compare_window, "0 rows"),
    (
        "a baseline of another schema",
        drift(baseline(lambda draw: {"z": draw.random()}), columns=("x", "y")),
        "unknown: captures: the baseline has none of the columns",
    ),
    ("a baseline that is none", drift(b"a,b\n1,2\n"), "unknown: baseline file://"),
    ("constant features", constant, "unknown: "),
    ("an empty window of drift", drift(count=0), "unknown: no captured row in this window"),
    ("an empty window of evidence", no_requests, "no_data"),
    ("outputs that are no numbers", no_number, "[None, None, None, None, None]"),
    ("outputs that are no numbers, of pairs", pairs_without_numbers, "no_data, 300 unusable"),
    (
        "a capture folder that is full",
        capture(2_000, "file:///nowhere/at/all"),
        "all answered, some lost and counted",
    ),
    ("a capture target that is unreachable", capture(10**8, NOWHERE), "all answered, none lost"),
    ("a capture target that works", capture(10**8, ""), "all answered, none lost"),
]


@pytest.mark.parametrize(("run", "outcome"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_bad_input_has_a_named_outcome(tmp_path: Path, run: Callable[[Path], str], outcome: str) -> None:
    assert run(tmp_path).startswith(outcome)


def test_a_sample_of_captures_is_drawn_evenly_and_the_same_each_time() -> None:
    def made(place: int) -> bytes:
        return line({"amount": float(place)}, END).encode()

    lines, now = [made(place) for place in range(500)], END.timestamp()
    one, other = (draw_captures(lines, RowTerms(), 50, now - 1, now + 1) for _ in range(2))
    assert (one.drawn_from, len(one.requests)) == (500, 50)
    assert [each.body for each in one.requests] == [each.body for each in other.requests]
    drawn = sorted(json.loads(each.body)["amount"] for each in one.requests)
    assert drawn[0] < 100 and drawn[-1] > 400
