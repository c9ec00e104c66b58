"""Labelled rows of a replay: tables, JSON Lines, captures with ground truth, and what cannot be used."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tidegate.domain.errors import TidegateError, Unavailable
from tidegate.domain.finding import Finding
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.replay import ReplayConfig, ReplayJob
from tidegate.features.evidence.replay import rows
from tidegate.features.evidence.replay.replay_judge import UNSEEN
from tidegate.features.evidence.replay.rows import CONTRADICTORY, UNLABELLED, read_rows
from tidegate.features.evidence.replay.run import judge_replies, run_replay
from tidegate.features.evidence.replay.scoring import run as scoring_run
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply
from tidegate.rows.row_files import RowRequest
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.settings import Settings
from tidegate.storage.files import resolve_existing

S3 = ("", "us-east-1")


def config(path: Path, **more: str) -> ReplayConfig:
    return ReplayConfig(path.as_uri(), **{"label": "fraud", "leave_out": ("id",), **more})  # type: ignore[arg-type]


def test_a_table_gives_requests_without_the_label_and_with_it_apart(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("id,amount,fraud\n7,9.5,1\n8,1.5,0\n")
    found = read_rows(config(table), None, S3)
    assert [(one.body, one.label) for one in found.requests] == [(b"9.5\n", 1.0), (b"1.5\n", 0.0)]


def test_parquet_is_read_as_the_same_table(tmp_path: Path) -> None:
    table = pyarrow.table({"id": [7, 8], "amount": [9.5, None], "fraud": [True, False]})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    found = read_rows(config(tmp_path / "rows.parquet"), None, S3)
    assert [(one.body, one.label) for one in found.requests] == [(b"9.5\n", 1.0), (b'""\n', 0.0)]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(TidegateError, match="cannot be read as parquet"):
        read_rows(config(tmp_path / "bad.parquet"), None, S3)


def capture(id: str, body: str) -> str:
    side = {"data": body, "encoding": "CSV", "observedContentType": "text/csv"}
    about = {"eventId": f"event-{id}", "inferenceId": id, "inferenceTime": "2026-03-01T12:00:00Z"}
    return json.dumps({"captureData": {"endpointInput": side}, "eventMetadata": about})


def truth(id: str, value: str) -> str:
    return json.dumps({"groundTruthData": {"data": value}, "eventMetadata": {"eventId": id}})


def test_captures_are_joined_with_ground_truth(tmp_path: Path) -> None:
    rows, labels = tmp_path / "captures" / "a.jsonl", tmp_path / "truth.jsonl"
    rows.parent.mkdir()
    rows.write_text("\n".join(capture(id, f"{place},2") for place, id in enumerate("abcd")))
    labels.write_text("\n".join([truth("a", "1"), truth("b", "0"), truth("b", "1"), truth("d", "0"), "half a li"]))
    found = read_rows(ReplayConfig(rows.parent.as_uri(), labels=labels.as_uri()), None, S3)
    assert [(one.body, one.label) for one in found.requests] == [(b"0,2", 1.0), (b"3,2", 0.0)]
    assert found.skipped == {UNLABELLED: 2, CONTRADICTORY: 1}


@pytest.mark.parametrize(("text", "says"), [
    ("id,amount\n7,9.5\n", "there is no column 'fraud'"),
    ("id,amount,fraud\n7,9.5\n", "2 values for 3 columns"),
    ("id,amount,fraud\n7,9.5,perhaps\n", "the label 'perhaps' is no number"),
])  # fmt: skip
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(TidegateError, match=says):
        read_rows(config(tmp_path / "rows.csv"), None, S3)


def test_a_column_of_slices_that_no_row_has_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,amount,fraud\n7,9.5,1\n")
    with pytest.raises(TidegateError, match="no row has a column 'country'"):
        read_rows(config(tmp_path / "rows.csv", by="country"), None, S3)


def test_files_beyond_the_roots_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,amount,fraud\n7,9.5,1\n")
    (tmp_path / "labels.jsonl").write_text(truth("a", "1"))
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "rows.jsonl").write_text(capture("a", "1,2"))
    roots = (str(tmp_path / "inside"),)
    outside = ReplayConfig((tmp_path / "inside").as_uri(), labels=(tmp_path / "labels.jsonl").as_uri())
    for one in (config(tmp_path / "rows.csv"), outside):
        with pytest.raises(TidegateError, match="outside the folders"):
            read_rows(one, roots, S3)


def test_nobody_learns_which_files_exist_beyond_the_roots(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "there.jsonl").write_text(truth("a", "1"))
    (tmp_path / "inside" / "link").symlink_to(tmp_path)
    said = set()
    for place in ("there.jsonl", "missing.jsonl", "missing/", "", "inside/../there", "inside/link/missing"):
        with pytest.raises(TidegateError, match="outside the folders") as caught:
            asked = ReplayConfig((tmp_path / "inside").as_uri(), labels=f"{tmp_path.as_uri()}/{place}")
            read_rows(asked, (str(tmp_path / "inside"),), S3)
        said.add(caught.value.message)
    assert len(said) == 1


def test_captures_are_found_by_the_beginning_of_their_path(tmp_path: Path) -> None:
    (tmp_path / "rows-1.jsonl").write_text(capture("a", "1,2"))
    (tmp_path / "truth.jsonl").write_text(truth("a", "1"))
    asked = ReplayConfig(f"{tmp_path.as_uri()}/rows-", labels=(tmp_path / "truth.jsonl").as_uri())
    assert len(read_rows(asked, (str(tmp_path),), S3).requests) == 1


@pytest.mark.parametrize("name", ["truth.jsonl", "rows.csv", "rows.jsonl"])
def test_a_file_that_is_exchanged_after_the_check_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    inside, secret = tmp_path / "inside", tmp_path / "secret"
    inside.mkdir()
    (inside / "captures.jsonl").write_text(capture("a", "1,2"))
    (inside / name).write_text("")
    secret.write_text(truth("a", "1") if name == "truth.jsonl" else "amount,fraud\n1,1\n")

    def exchange(path: Path, roots: tuple[str, ...]) -> Path:
        real = resolve_existing(path, roots)
        if path.name == name and path.is_file():
            path.unlink()
            path.symlink_to(secret)
        return real

    monkeypatch.setattr(rows, "resolve_existing", exchange)
    captures = ReplayConfig((inside / "captures.jsonl").as_uri(), labels=(inside / name).as_uri())
    with pytest.raises(TidegateError, match="no such file"):
        read_rows(captures if name == "truth.jsonl" else config(inside / name), (str(inside),), S3)


@pytest.mark.parametrize("roots", [None, ("/data",)])
def test_models_of_a_replay_read_what_endpoints_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roots: tuple[str, ...] | None
) -> None:
    specs = list[ReplicaSpec]()

    def score(spec: ReplicaSpec, *rest: object) -> list[ScoringReply]:
        specs.append(spec)
        raise Unavailable("enough")

    monkeypatch.setattr(scoring_run, "score", score)
    (tmp_path / "rows.csv").write_text("id,amount,fraud\n7,9.5,1\n")
    asked = config(tmp_path / "rows.csv")
    (tmp_path / "kept" / "digest").mkdir(parents=True)
    container = ContainerDefinition("tidegate/auto", "file:///data/model/", {}, artifact="digest")
    model = Model("m", (container,), datetime(2026, 3, 1, tzinfo=UTC))
    allowed = None if roots is None else (*roots, str(tmp_path))
    job = ReplayJob(asked, 0.01, (("blue", model, model),), str(tmp_path / "kept"), allowed)
    run_replay(job, Settings.from_environment({}), {})
    assert specs[0].file_roots == (None if roots is None else (*roots, str(tmp_path), str(tmp_path / "kept")))


NUMBER, WORD = ScoringReply(b"0.5", "text/csv"), ScoringReply(b"no", "text/csv")
FAILED = ScoringReply(b"", "", "it fell over")


@pytest.mark.parametrize(("old", "new", "finding", "says"), [
    ([NUMBER] * 400, [WORD] * 400, Finding.FAIL, "the new version has no number for 400 of 400 rows"),
    ([NUMBER] * 400, [NUMBER] * 390 + [FAILED] * 10, Finding.FAIL, "no number for 10 of 400 rows"),
    ([WORD] * 400, [WORD] * 400, Finding.NO_DATA, "400 of 400 answers of the old version are not a number"),
    ([WORD] * 400, [NUMBER] * 400, Finding.NO_DATA, "of the old version"),
    ([NUMBER] * 400, [NUMBER] * 399 + [WORD], Finding.PASS, "nothing is worse"),
    ([], [], Finding.NO_DATA, "there are no rows"),
])  # fmt: skip
def test_answers_that_are_no_numbers(
    old: list[ScoringReply], new: list[ScoringReply], finding: Finding, says: str
) -> None:
    requests = [RowRequest(b"1", "text/csv", ({"a": 1.0},), float(place % 2)) for place in range(len(old))]
    found = judge_replies(requests, old, new, ReplayConfig("file:///x"), 0.01)
    assert found.finding is finding and says in found.reason
    assert found.skipped == ({"rows without usable answers": 1} if finding is Finding.PASS else {})


def test_a_table_has_a_label_for_each_output_and_the_model_gets_none_of_them(tmp_path: Path) -> None:
    two = ReplayConfig(f"file://{tmp_path}/rows.csv", "minutes", other_labels=("cost",))
    (tmp_path / "rows.csv").write_text("distance,minutes,cost\n7,9.5,1\n8,1.5,\n")
    found = read_rows(two, None, S3)
    read = [(one.body, one.label, one.other_labels) for one in found.requests]
    assert read == [(b"7\n", 9.5, (1.0,)), (b"8\n", 1.5, (None,))]
    (tmp_path / "rows.csv").write_text("distance,minutes\n7,9.5\n")
    with pytest.raises(TidegateError, match="there is no column 'cost'"):
        read_rows(two, None, S3)


def answer(*numbers: float) -> ScoringReply:
    return ScoringReply(json.dumps({"predictions": [numbers]}).encode(), "application/json")


def test_a_fault_of_one_output_fails_by_the_labels_of_that_output() -> None:
    chance = random.Random(1)
    rows = [(chance.gauss(30, 5), chance.gauss(9, 2)) for _ in range(400)]
    requests = [RowRequest(b"1", "text/csv", ({"a": 1.0},), minutes, (cost,)) for minutes, cost in rows]
    old = [answer(minutes + chance.gauss(0, 1), cost + chance.gauss(0, 0.3)) for minutes, cost in rows]
    two = ReplayConfig("file:///x", "minutes", other_labels=("cost",))
    same = judge_replies(requests, old, old, two, 0.01)
    assert same.finding is Finding.PASS
    assert [(one.output, one.name) for one in same.statistics] == [
        (output, name) for output in ("minutes", "cost") for name in ("error", "mean")
    ]
    new = [answer(minutes + chance.gauss(0, 1), cost + chance.gauss(0, 0.4)) for minutes, cost in rows]
    found = judge_replies(requests, old, new, two, 0.01)
    assert found.finding is Finding.FAIL and found.reason.startswith("cost: mean absolute error gained")
    lacking = [replace(one, other_labels=(None,)) for one in requests]
    assert judge_replies(lacking, old, new, two, 0.01).finding is Finding.NO_DATA, "an output without labels"
    assert judge_replies(requests, [answer(1.0)] * 400, new, two, 0.01).finding is Finding.NO_DATA
    assert judge_replies(requests, old, [answer(1.0)] * 400, two, 0.01).finding is Finding.FAIL


def classify(chance: random.Random, label: int, blind: int | None = None) -> ScoringReply:
    """Score three classes. ``blind``: a class that is not told from the others."""
    scores = [abs(chance.gauss(1.0 + (label == one != blind), 0.3)) for one in range(3)]
    return answer(*(one / sum(scores) for one in scores))


def test_each_class_is_judged_where_a_label_is_the_number_of_a_class() -> None:
    chance = random.Random(1)
    labels = [chance.randrange(3) for _ in range(900)]
    requests = [RowRequest(b"1", "text/csv", ({"a": 1.0},), float(label)) for label in labels]
    old = [classify(chance, label) for label in labels]
    honest = judge_replies(requests, old, [classify(chance, label) for label in labels], ReplayConfig(""), 0.01)
    assert honest.finding is Finding.PASS and {one.output for one in honest.statistics} == {
        "class 0", "class 1", "class 2"
    }  # fmt: skip
    found = judge_replies(requests, old, [classify(chance, label, 2) for label in labels], ReplayConfig(""), 0.01)
    assert found.finding is Finding.FAIL and "class 2: AUC lost" in found.reason
    rare = [replace(one, label=0.0 if one.label == 2 else one.label) for one in requests]
    judged = judge_replies(rare, old, old, ReplayConfig(""), 0.01)
    assert {one.output for one in judged.statistics} == {"class 0", "class 1"}, "a class without labels"
    few = [
        replace(one, label=0.0 if one.label == 2 and at > 200 else one.label) for at, one in enumerate(requests)
    ]
    judged = judge_replies(few, old, old, ReplayConfig("", least_labels=150), 0.01)
    assert judged.finding is Finding.PASS and judged.reason.endswith("class 2: too few labels to be judged")
    (left_out,) = [one for one in judged.statistics if one.output == "class 2"]
    assert left_out.worse is None, "an assurance does not hold for it"


@pytest.mark.parametrize(("old", "labels", "says"), [
    (answer(0.9, 0.3), (0.0, 1.0), "which are no probabilities of classes"),
    (answer(0.5, 0.3, 0.1), (0.0, 1.0), "which are no probabilities of classes"),
    (answer(0.2, 0.3, 0.5), (1.0, 2.0, 3.0), "a label is 3, and the classes of an answer with 3 numbers are 0 to 2"),
    (answer(0.2, 0.8), (0.0, 0.5), "a label is 0.5, and the classes of an answer with 2 numbers are 0 to 1"),
])  # fmt: skip
def test_labels_that_are_not_those_of_the_answers_decide_nothing(
    old: ScoringReply, labels: tuple[float, ...], says: str
) -> None:
    requests = [RowRequest(b"1", "text/csv", ({"a": 1.0},), labels[at % len(labels)]) for at in range(400)]
    found = judge_replies(requests, [old] * 400, [old] * 400, ReplayConfig(""), 0.01)
    assert found.finding is Finding.NO_DATA and says in found.reason


@pytest.mark.parametrize("new", ["better", "random"])
def test_numbers_in_another_order_than_the_labels_classes_decide_nothing(new: str) -> None:
    """Of [P(1), P(0)] a better version would seem to be worse, and a useless one better."""
    chance = random.Random(1)
    labels = [chance.randrange(2) for _ in range(400)]
    requests = [RowRequest(b"1", "text/csv", ({"a": 1.0},), float(label)) for label in labels]
    scores = [0.3 + 0.3 * label + 0.3 * chance.random() for label in labels]
    others = [0.1 + 0.8 * label if new == "better" else chance.random() for label in labels]
    old, after = ([answer(one, 1 - one) for one in side] for side in (scores, others))
    found = judge_replies(requests, old, after, ReplayConfig(""), 0.01)
    assert found.finding is Finding.NO_DATA and "not in the order of the labels' classes" in found.reason


def test_a_new_version_with_another_count_of_numbers_fails() -> None:
    chance = random.Random(1)
    labels = [chance.randrange(2) for _ in range(400)]
    requests = [RowRequest(b"1", "text/csv", ({"a": 1.0},), float(label)) for label in labels]
    old = [classify(chance, label) for label in labels]
    found = judge_replies(requests, old, [answer(0.5, 0.5)] * 400, ReplayConfig(""), 0.01)
    assert found.finding is Finding.FAIL and "no number for 400 of 400 rows" in found.reason


def test_one_answer_that_cannot_be_read_and_one_strange_label_are_left_out() -> None:
    chance = random.Random(1)
    labels = [chance.randrange(3) for _ in range(600)]
    requests = [RowRequest(b"1", "text/csv", ({"a": 1.0},), float(label)) for label in labels]
    old = [WORD, *(classify(chance, label) for label in labels[1:])]
    requests[1] = replace(requests[1], label=7.0)
    found = judge_replies(requests, old, old, ReplayConfig(""), 0.01)
    assert found.finding is Finding.PASS
    assert found.skipped == {"rows without usable answers": 1, UNSEEN: 1}


def test_a_captured_line_in_a_table_of_several_labels_has_none(tmp_path: Path) -> None:
    two = ReplayConfig(f"file://{tmp_path}/rows.jsonl", "minutes", other_labels=("cost",))
    (tmp_path / "rows.jsonl").write_text(
        f"{json.dumps({'d': 7, 'minutes': 9.5, 'cost': 1})}\n{capture('a', '1')}\n"
    )
    read = [(one.label, one.other_labels) for one in read_rows(two, None, S3).requests]
    assert read == [(9.5, (1.0,)), (None, (None,))]


def test_of_two_classes_the_score_of_the_second_is_judged() -> None:
    chance = random.Random(1)
    labels = [chance.randrange(2) for _ in range(400)]
    requests = [RowRequest(b"1", "text/csv", ({"a": 1.0},), float(label)) for label in labels]
    scores = [0.3 + 0.4 * label + 0.2 * chance.random() for label in labels]
    old = [answer(1 - one, one) for one in scores]
    assert judge_replies(requests, old, old, ReplayConfig(""), 0.01).finding is Finding.PASS
    turned = [answer(one, 1 - one) for one in scores]
    found = judge_replies(requests, old, turned, ReplayConfig(""), 0.01)
    assert found.finding is Finding.FAIL and "AUC lost 1.0" in found.reason


@pytest.mark.parametrize("name", ["secret.jsonl", "absent.jsonl", "folder/", "sec"])
def test_what_is_beyond_the_roots_is_refused_whether_it_is_there_or_not(tmp_path: Path, name: str) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret.jsonl").write_text(truth("a", "1"))
    inside = tmp_path / "inside" / "rows.jsonl"
    inside.write_text(capture("a", "1,2"))
    address = f"file://{tmp_path}/{name}"
    for one in (
        ReplayConfig(address, labels=inside.as_uri()),
        ReplayConfig(inside.as_uri(), labels=address),
        ReplayConfig(address, label="fraud"),
    ):
        with pytest.raises(TidegateError, match="outside the folders"):
            read_rows(one, (str(tmp_path / "inside"),), S3)


def test_a_link_that_leads_out_of_the_roots_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.jsonl").write_text(truth("a", "1"))
    (tmp_path / "inside" / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (tmp_path / "inside" / "rows.jsonl").write_text(capture("a", "1,2"))
    both = (tmp_path / "inside").as_uri()
    with pytest.raises(TidegateError, match="outside the folders"):
        read_rows(ReplayConfig(both, labels=both), (str(tmp_path / "inside"),), S3)
