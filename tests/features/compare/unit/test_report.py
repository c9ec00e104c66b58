"""The verdict: what is harm, what is unknown, and that nothing else is a pass."""

import json
import math
import random
from dataclasses import replace
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.evidence.replay.answers import AnswerTerms, CollectedAnswers, collect_answers
from tidegate.features.evidence.replay.report import (
    ComparisonTerms,
    ComparisonVerdict,
    VersionComparison,
    compare_versions,
    doubt_classes,
    join_outputs,
)
from tidegate.features.evidence.replay.scored_rows import OTHERS, UNNAMED, ScoredRows
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply
from tidegate.features.evidence.replay.tolerances import DEFAULTS, parse_tolerances
from tidegate.rows.row_files import RowRequest

COUNT = 400
OLD = [0.1 + 0.8 * place / COUNT for place in range(COUNT)]
TRUE: list[float | None] = [float((place * 7) % COUNT < place) for place in range(COUNT)]


def answers(new: list[float], **more: Any) -> ScoredRows:
    given = {"labels": [None] * COUNT, "rows": [{} for _ in OLD], **more}
    return ScoredRows(OLD, new, **given)


def judge(
    new: list[float], *tolerances: str, asked: tuple[str, ...] = (), **more: Any
) -> tuple[ComparisonVerdict, str]:
    found = compare_versions(answers(new, **more), ComparisonTerms(parse_tolerances(tolerances), frozenset(asked)))
    json.dumps(found.document(), allow_nan=False)
    return found.verdict, "; ".join(found.reasons)


def test_equal_answers_pass() -> None:
    assert judge(OLD) == (ComparisonVerdict.PASS, "")


def test_a_mean_out_of_tolerance_is_harm_and_within_a_wider_one_it_is_not() -> None:
    new = [score * 1.2 for score in OLD]
    assert judge(new) == (ComparisonVerdict.HARM, "mean score: 20 % is more than 15 %")
    assert judge(new, "mean=21%")[0] is ComparisonVerdict.PASS
    assert judge(new, "mean=0.1")[0] is ComparisonVerdict.PASS
    assert judge(new, "mean=0.01")[1] == "mean score: 0.0998 is more than 0.01"


def test_an_order_turned_round_is_harm_though_the_mean_stays() -> None:
    assert judge([1 - score for score in OLD], "mean=none") == (
        ComparisonVerdict.HARM,
        "1 - rank correlation: 2 is more than 0.25",
    )


def test_a_constant_score_is_never_a_pass() -> None:
    mean = sum(OLD) / COUNT
    verdict, reason = judge([mean] * COUNT)
    assert verdict is ComparisonVerdict.UNKNOWN and "one version gives every row the same score" in reason


def test_moved_rows_and_the_top_are_judged_if_they_have_a_tolerance() -> None:
    new = [*OLD[20:], *OLD[:20]]
    assert judge(new, "moved=1%", "rank=none", "mean=none")[0] is ComparisonVerdict.HARM
    assert judge(new, "top=10%", "rank=none")[1] == "change of the top 5 %: 1 is more than 0.1"


def test_without_any_tolerance_nothing_passes() -> None:
    verdict, reason = judge(OLD, *(f"{name}=none" for name in DEFAULTS))
    assert (verdict, reason) == (ComparisonVerdict.UNKNOWN, "no statistic has a tolerance, so nothing is judged")


def test_a_share_of_nothing_cannot_be_said() -> None:
    for old in (0.0, 5e-324):
        shifted = ScoredRows([old] * COUNT, [0.5] * COUNT, [None] * COUNT, [{}] * COUNT)
        found = compare_versions(shifted, ComparisonTerms(parse_tolerances(["rank=none"])))
        json.dumps(found.document(), allow_nan=False)
        assert found.verdict is ComparisonVerdict.UNKNOWN and found.reasons == (
            "mean score: it cannot be said: the old one is 0",
        )


def test_a_slice_is_found_that_the_whole_does_not_show() -> None:
    slices = ["IN" if place % 4 == 0 else "US" for place in range(COUNT)]
    new = [score * 0.4 if name == "IN" else score * 1.2 for score, name in zip(OLD, slices, strict=True)]
    assert judge(new, "rank=none")[0] is ComparisonVerdict.PASS
    verdict, reason = judge(new, "rank=none", slices=slices)
    assert (verdict, reason) == (ComparisonVerdict.HARM, "mean score of a slice (IN): 60 % is more than 50 %")


def test_small_slices_are_taken_together() -> None:
    slices = [f"small-{place}" if place < 120 else None for place in range(COUNT)]
    found = compare_versions(answers(OLD, slices=slices), ComparisonTerms(DEFAULTS))
    assert {name: one.rows for name, one in found.slices.items()} == {UNNAMED: 280, OTHERS: 120}


def test_lost_auc_is_harm_by_labels() -> None:
    new = [OLD[(place * 7) % COUNT] for place in range(COUNT)]
    verdict, reason = judge(new, "rank=none", "calibration=none", labels=TRUE, labelled=True)
    assert verdict is ComparisonVerdict.HARM and reason.startswith("AUC lost: ")
    assert judge(OLD, labels=TRUE, labelled=True)[0] is ComparisonVerdict.PASS


def test_calibration_is_judged_where_scores_are_probabilities() -> None:
    new = [score * score for score in OLD]
    _, reason = judge(new, "mean=none", labels=TRUE, labelled=True)
    assert reason.startswith("calibration error gained")
    margins = ScoredRows(
        [score * 5 for score in OLD], [score * 5 for score in OLD], TRUE, [{}] * COUNT, None, True
    )
    terms = ComparisonTerms(DEFAULTS)
    assert compare_versions(margins, terms).verdict is ComparisonVerdict.PASS
    asked = ComparisonTerms(DEFAULTS, frozenset({"calibration"}))
    assert compare_versions(margins, asked).verdict is ComparisonVerdict.UNKNOWN


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([None] * COUNT, "no row has a label"),
        ([1.0] * 30 + [0.0] * 370, "30 labels of 1 and 370 of 0 are too few"),
        ([0.0] * COUNT, "0 labels of 1"),
        ([5.0] * 40 + [None] * 360, "40 labels are too few"),
    ],
)
def test_too_few_labels_are_never_a_pass(labels: list[float | None], said: str) -> None:
    verdict, reason = judge(OLD, labels=labels, labelled=True)
    assert verdict is ComparisonVerdict.UNKNOWN and said in reason


def test_amounts_are_judged_by_their_error() -> None:
    labels: list[float | None] = [score * 100 for score in OLD]
    assert judge(OLD, labels=labels, labelled=True)[0] is ComparisonVerdict.PASS
    verdict, reason = judge([score - 4 for score in OLD], "mean=none", labels=labels, labelled=True)
    assert verdict is ComparisonVerdict.HARM and reason.startswith("mean absolute error gained")
    assert judge(OLD, asked=("auc",), labels=labels, labelled=True)[0] is ComparisonVerdict.UNKNOWN


def test_another_order_is_a_note_where_labels_show_no_loss() -> None:
    """Of an honest version whose labels are as well ranked by it: both are right about half of what can be known."""
    chance = random.Random(3)
    known = [(chance.gauss(0, 1), chance.gauss(0, 1)) for _ in range(1_000)]
    truth = [float(chance.random() < 1 / (1 + math.exp(-a - b))) for a, b in known]
    old, new = ([1 / (1 + math.exp(-pair[side])) for pair in known] for side in (0, 1))

    def compared(labels: list[float | None], labelled: bool, *declared: str) -> VersionComparison:
        given = ScoredRows(old, new, labels, [{}] * len(old), None, labelled)
        return compare_versions(given, ComparisonTerms(parse_tolerances(()), declared=frozenset(declared)))

    cleared = compared(list(truth), True)
    [order] = [one for one in cleared.findings if one.statistic == "rank"]
    assert cleared.verdict is ComparisonVerdict.PASS and order.value is not None and order.value > 0.5
    assert order.reason.endswith("is more than 0.25; labels show no loss by it")
    assert compared(list(truth), True, "rank").verdict is ComparisonVerdict.HARM, "somebody gave it a tolerance"
    assert compared([None] * len(old), False).verdict is ComparisonVerdict.HARM, "nothing else says how good it is"
    few: list[float | None] = [*truth[:120], *[None] * (len(old) - 120)]
    assert compared(few, True).verdict is ComparisonVerdict.HARM, "too few labels clear nothing"
    turned = ScoredRows(old, [1 - one for one in new], list(truth), [{}] * len(old), None, True)
    flipped = compare_versions(turned, ComparisonTerms(parse_tolerances(())))
    assert {one.statistic for one in flipped.findings if one.verdict is ComparisonVerdict.HARM} >= {"rank", "auc"}


def test_a_loss_that_may_be_chance_is_a_note_unless_somebody_gave_a_tolerance() -> None:
    """Of few labels an AUC differs by more than is tolerated by chance, in one of several outputs more often yet."""
    chance = random.Random(11)
    truth: list[float | None] = [float(chance.random() < score) for score in OLD]
    known = [min(0.999, max(0.001, score + chance.gauss(0, 0.13))) for score in OLD]
    given = answers(known, labels=truth, labelled=True)
    terms = ComparisonTerms({"auc": DEFAULTS["auc"]}, fewest_labels=50)
    found = compare_versions(given, terms)
    [auc] = [one for one in found.findings if one.slice is None]
    assert auc.value is not None and auc.value > 0.02, "the test's own numbers"
    assert found.verdict is ComparisonVerdict.PASS and auc.reason.endswith(
        "is more than 0.02, which may be chance"
    )
    declared = compare_versions(given, replace(terms, declared=frozenset({"auc"})))
    assert declared.verdict is ComparisonVerdict.HARM


def test_mean_errors_of_a_slice_are_judged_though_neither_the_whole_nor_its_mean_shows_them() -> None:
    chance = random.Random(5)
    slices = ["IN" if place % 5 == 0 else "US" for place in range(2_000)]
    truth: list[float | None] = [chance.gauss(0, 100) for _ in slices]
    old, new = ([label + chance.gauss(0, 10) for label in truth if label is not None] for _ in range(2))
    worse = [
        label + chance.gauss(0, 13) if name == "IN" else score
        for name, label, score in zip(slices, truth, old, strict=True)
        if label is not None
    ]

    def compared(scores: list[float]) -> VersionComparison:
        given = ScoredRows(old, scores, truth, [{}] * len(slices), slices, True)
        return compare_versions(given, ComparisonTerms(parse_tolerances(["error=10%"])))

    assert compared(new).verdict is ComparisonVerdict.PASS
    harmed = compared(worse)
    assert harmed.verdict is ComparisonVerdict.HARM
    assert [reason[:33] for reason in harmed.reasons] == ["mean absolute error of IN gained "]
    shown = {(one["name"], one["slice"]) for one in harmed.document()["replayed"]}
    assert shown == {("error", ""), ("error", "US"), ("error", "IN")}


def test_a_share_of_no_error_cannot_be_said_of_a_slice_either() -> None:
    truth = [float(place % 7) for place in range(400)]
    scored = ScoredRows(truth, [one + 0.1 for one in truth], truth, [{}] * 400, ["a", "b"] * 200, labelled=True)
    found = compare_versions(scored, ComparisonTerms(DEFAULTS))
    assert found.verdict is ComparisonVerdict.UNKNOWN
    assert "mean absolute error gained (a): it cannot be said: the old one is 0" in found.reasons
    json.dumps(found.document(), allow_nan=False)


def test_log_loss_is_judged_of_all_rows_and_of_slices() -> None:
    chance = random.Random(7)
    truth: list[float | None] = [float(chance.random() < score) for score in OLD * 5]
    sure = [min(0.9999, max(0.0001, 0.5 + (score - 0.5) * 2)) for score in OLD * 5]
    slices = ["IN" if place % 2 else "US" for place in range(len(sure))]
    given = ScoredRows(OLD * 5, sure, truth, [{}] * len(sure), slices, True)
    terms = parse_tolerances(["calibration=none", "mean=none"])
    reasons = compare_versions(given, ComparisonTerms(terms)).reasons
    assert reasons[0].startswith("log loss gained ")
    given = replace(given, new=OLD * 5)
    assert (
        compare_versions(given, ComparisonTerms(terms, asked=frozenset({"loss"}))).verdict
        is ComparisonVerdict.PASS
    )


def test_a_change_of_amounts_of_both_signs_is_relative_to_their_size() -> None:
    """Their mean is about 0, of which any change is a large part."""
    old = [score - 0.4999 for score in OLD]
    given = ScoredRows(old, [score + 0.01 for score in old], [None] * COUNT, [{}] * COUNT, ["a"] * COUNT)
    assert compare_versions(given, ComparisonTerms(DEFAULTS)).verdict is ComparisonVerdict.PASS
    moved = replace(given, new=[score + 0.05 for score in old])
    assert compare_versions(moved, ComparisonTerms(DEFAULTS)).verdict is ComparisonVerdict.HARM


# --- several outputs ---


def compare_outputs(
    old: list[list[float]], new: list[list[float]], labels: list[tuple[float | None, ...]], *names: str
) -> VersionComparison | str:
    requests = [RowRequest(b"", "", ({},), one, tuple(more)) for one, *more in labels]
    before, after = (
        [ScoringReply(json.dumps([row]).encode(), "application/json") for row in side] for side in (old, new)
    )
    found = collect_answers(requests, before, after, AnswerTerms(labels=names))
    if isinstance(found, str):
        return found
    terms = ComparisonTerms(DEFAULTS, outputs=len(found.outputs))
    compared = {name: compare_versions(one, terms) for name, one in found.outputs.items()}
    return join_outputs({name: doubt_classes(one) if found.classes else one for name, one in compared.items()}, ())


def draw_classes(chance: random.Random, count: int) -> tuple[list[list[float]], list[list[float]], list[float]]:
    """Two honest versions with probabilities of three classes, each right about a part of what can be known, and the
    classes."""
    sides: tuple[list[list[float]], list[list[float]]] = [], []
    truth = []
    for _ in range(count):
        known = [[chance.gauss(0, 1) for _ in range(3)] for _ in sides]
        weights = [math.exp(a + b) for a, b in zip(*known, strict=True)]
        truth.append(float(chance.choices(range(3), weights)[0]))
        for side, logits in zip(sides, known, strict=True):
            whole = math.fsum(map(math.exp, logits))
            side.append([math.exp(each) / whole for each in logits])
    return *sides, truth


def test_classes_in_another_order_are_a_note_where_labels_show_no_loss() -> None:
    old, new, truth = draw_classes(random.Random(2), 2_000)
    labels: list[tuple[float | None, ...]] = [(one,) for one in truth]
    honest = compare_outputs(old, new, labels, "kind")
    assert isinstance(honest, VersionComparison) and honest.verdict is ComparisonVerdict.PASS
    assert set(honest.outputs) == {"class 0", "class 1", "class 2"}
    ranks = [one for each in honest.outputs.values() for one in each.findings if one.statistic == "rank"]
    assert all(one.value is not None and one.value > 0.25 for one in ranks), "the test's own numbers"
    swapped = [[a, c, b] for a, b, c in old]
    harmed = compare_outputs(old, swapped, labels, "kind")
    assert isinstance(harmed, VersionComparison) and harmed.verdict is ComparisonVerdict.HARM
    assert harmed.outputs["class 0"].verdict is ComparisonVerdict.PASS
    assert any(reason.startswith("class 1: AUC lost") for reason in harmed.reasons)
    turned = compare_outputs(swapped, swapped, labels, "kind")
    assert isinstance(turned, VersionComparison) and turned.verdict is ComparisonVerdict.UNKNOWN
    assert "not in the order of the labels' classes" in turned.reasons[0]


def test_a_fault_in_the_second_output_is_found_with_labels_and_without() -> None:
    chance = random.Random(4)
    labels = [(chance.gauss(50, 10), chance.gauss(5, 1)) for _ in range(1_000)]
    old, new = ([[a + chance.gauss(0, 3), b + chance.gauss(0, 0.3)] for a, b in labels] for _ in range(2))
    wrong = [[a, 10 - b] for a, b in new]
    known: list[tuple[float | None, ...]] = list(labels)
    nothing: list[tuple[float | None, ...]] = [(None,)] * len(labels)
    for given, names, name in ((known, ("rent", "days"), "days"), (nothing, (), "output 2")):
        same, harmed = (compare_outputs(old, side, given, *names) for side in (new, wrong))
        assert isinstance(same, VersionComparison) and same.verdict is ComparisonVerdict.PASS
        assert isinstance(harmed, VersionComparison) and harmed.verdict is ComparisonVerdict.HARM
        assert all(reason.startswith(f"{name}: ") for reason in harmed.reasons)
    assert compare_outputs(old, new, known, "rent", "days", "fee") == (
        "there are 3 labels for each row, and 2 numbers in its answer"
    )
    few = compare_outputs([[0.4, 0.6]] * 200, [[0.4, 0.6]] * 200, [(None,)] * 200)
    assert isinstance(few, VersionComparison) and not few.outputs, "of two classes the second alone is compared"


def test_outputs_that_are_not_compared_are_counted_where_there_are_many() -> None:
    found = join_outputs(
        {"output 1": compare_versions(answers(OLD), ComparisonTerms(DEFAULTS))},
        [f"output {place}" for place in range(2, 1_001)],
    )
    assert found.reasons == ("output 2, output 3, output 4, output 5, output 6 and 994 more: not compared",)


def test_the_rows_that_changed_most_come_first() -> None:
    new = list(OLD)
    new[7], new[300] = 0.9, OLD[300] + 0.01
    rows = [{"id": float(place)} for place in range(COUNT)]
    found = compare_versions(answers(new, rows=rows), ComparisonTerms(DEFAULTS))
    assert [(one.number, one.row["id"]) for one in found.changed] == [(8, 7.0), (301, 300.0)]


# --- replies ---


def collect(old: list[ScoringReply], new: list[ScoringReply], rows: int | None = 1) -> CollectedAnswers | str:
    known = None if rows is None else tuple({"country": "US"} for _ in range(rows))
    return collect_answers(
        [RowRequest(b"", "", known, 1.0) for _ in old], old, new, AnswerTerms("", "country", ("label",))
    )


def reply(text: str, problem: str = "") -> ScoringReply:
    return ScoringReply(text.encode(), "text/csv", problem)


def test_replies_become_scores() -> None:
    collected = collect([reply("0.1"), reply("0.2")], [reply("0.3"), reply("0.4")])
    assert isinstance(collected, CollectedAnswers) and list(collected.outputs) == [""]
    found = collected.outputs[""]
    assert (found.old, found.new, found.labels) == ([0.1, 0.2], [0.3, 0.4], [1.0, 1.0])
    assert found.slices == ["US", "US"] and found.labelled


@pytest.mark.parametrize(
    ("old", "new", "rows", "said"),
    [
        (["0.1"], ["fraud"], 1, "1 of 1 answers of the new version are not a number for each row: 'fraud'"),
        (["nan"], ["0.1"], 1, "answers of the old version are not a number"),
        (["0.1\n0.2"], ["0.1"], None, "request 1: the old version answered 2 numbers and the new one 1"),
        (["0.1\n0.2"], ["0.1\n0.2"], 1, "request 1 of 1 rows: the old version answered 2 numbers"),
    ],
)
def test_answers_that_cannot_be_compared_have_a_reason(
    old: list[str], new: list[str], rows: int | None, said: str
) -> None:
    found = collect([reply(each) for each in old], [reply(each) for each in new], rows)
    assert isinstance(found, str) and said in found


def test_a_version_that_fails_on_a_row_is_named_with_its_error() -> None:
    found = collect([reply("0.1"), reply("0.1")], [reply("0.1"), reply("", "boom\nat row 7")])
    assert found == "the new version failed on 1 of 2 requests: boom at row 7"


# --- tolerances ---


@pytest.mark.parametrize("text", ["mean", "mean=", "mean=x", "mean=-1%", "speed=5%", "mean=nan"])
def test_a_tolerance_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="--tolerance"):
        parse_tolerances([text])


def test_a_percentage_is_relative_only_where_that_means_something() -> None:
    found = parse_tolerances(["mean=10%", "moved=10%", "auc=none"])
    assert (found["mean"].limit, found["mean"].relative) == (0.1, True)
    assert (found["moved"].limit, found["moved"].relative) == (0.1, False)
    assert "auc" not in found
