"""The verdict: what is harm, what is unknown, and that nothing else is a pass."""

import json
import math
import random
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.evidence.replay.answers import AnswerTerms, collect_answers
from tidegate.features.evidence.replay.report import (
    OTHERS,
    UNNAMED,
    ComparisonTerms,
    ComparisonVerdict,
    ScoredRows,
    VersionComparison,
    compare_versions,
)
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


def test_the_rows_that_changed_most_come_first() -> None:
    new = list(OLD)
    new[7], new[300] = 0.9, OLD[300] + 0.01
    rows = [{"id": float(place)} for place in range(COUNT)]
    found = compare_versions(answers(new, rows=rows), ComparisonTerms(DEFAULTS))
    assert [(one.number, one.row["id"]) for one in found.changed] == [(8, 7.0), (301, 300.0)]


# --- replies ---


def collect(old: list[ScoringReply], new: list[ScoringReply], rows: int | None = 1) -> ScoredRows | str:
    known = None if rows is None else tuple({"country": "US"} for _ in range(rows))
    return collect_answers(
        [RowRequest(b"", "", known, 1.0) for _ in old], old, new, AnswerTerms("", "country", True)
    )


def reply(text: str, problem: str = "") -> ScoringReply:
    return ScoringReply(text.encode(), "text/csv", problem)


def test_replies_become_scores() -> None:
    found = collect([reply("0.1"), reply("0.2")], [reply("0.3"), reply("0.4")])
    assert isinstance(found, ScoredRows)
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
