"""What is drift, what is not, and what cannot be said."""

import json
import random
from collections.abc import Callable

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.shapes import make_constraints, make_statistics, read_statistics
from tidegate.features.drift.slices import EVERYTHING
from tidegate.rows.profile import CATEGORIES, MOST_COLUMNS, SAMPLE, Row, TableProfile

Change = Callable[[dict[str, float | str | None], random.Random], None]


def empty() -> TableProfile:
    return TableProfile(random.Random(1).randrange)


def table(rows: int = 600, change: Change = lambda row, draw: None, seed: int = 1) -> TableProfile:
    draw, made = random.Random(seed), empty()
    for _ in range(rows):
        row: dict[str, float | str | None] = {
            "amount": draw.lognormvariate(3, 1),
            "tenure": float(draw.randrange(40)),
            "country": draw.choice(("US", "DE", "IN")),
            "constant": 1.0,
            "id": f"id-{draw.getrandbits(64)}",
        }
        change(row, draw)
        made.add(row)
    return made


def report(change: Change = lambda row, draw: None, **terms: float) -> DriftReport:
    return compare({EVERYTHING: table()}, {EVERYTHING: table(400, change, 2)}, DriftTerms(**terms))  # type: ignore[arg-type]


def found(given: DriftReport) -> set[tuple[str, str]]:
    return {(one.feature_name, one.constraint_check_type) for one in given.violations}


def test_rows_of_the_same_kind_have_not_drifted() -> None:
    given = report()
    assert given.drifted is False and given.violations == ()
    assert {one.column for one in given.changes} == {"amount", "tenure", "country"}
    assert given.unsaid == ("constant: constant", "id: too many different values")


def shift(row: dict[str, float | str | None], draw: random.Random) -> None:
    row["amount"] = draw.lognormvariate(3, 1) * 100


def lose(row: dict[str, float | str | None], draw: random.Random) -> None:
    if draw.random() < 0.3:
        row["tenure"] = None


def onboard(row: dict[str, float | str | None], draw: random.Random) -> None:
    if draw.random() < 0.3:
        row["country"] = "BR"


def retype(row: dict[str, float | str | None], draw: random.Random) -> None:
    row["tenure"] = "many years"


def rename(row: dict[str, float | str | None], draw: random.Random) -> None:
    row["wage"] = row.pop("amount")


@pytest.mark.parametrize(
    ("change", "violations"),
    [
        (shift, {("amount", "baseline_drift_check")}),
        (lose, {("tenure", "completeness_check")}),
        (onboard, {("country", "categorical_values_check"), ("country", "baseline_drift_check")}),
        (retype, {("tenure", "data_type_check")}),
        (rename, {("amount", "missing_column_check"), ("wage", "extra_column_check")}),
    ],
)
def test_each_kind_of_change_has_its_name(change: Change, violations: set[tuple[str, str]]) -> None:
    given = report(change)
    assert given.drifted is True and found(given) == violations


def test_a_difference_that_does_not_matter_is_no_drift_however_sure_it_is() -> None:
    def nudge(row: dict[str, float | str | None], draw: random.Random) -> None:
        row["amount"] = draw.lognormvariate(3.12, 1)

    before, now = table(20_000), table(20_000, nudge, 2)
    given = compare({EVERYTHING: before}, {EVERYTHING: now}, DriftTerms())
    [amount] = [one for one in given.changes if one.column == "amount"]
    assert amount.probability < 0.01 and not amount.drifted and given.drifted is False


@pytest.mark.parametrize(("before", "now"), [(0, 600), (600, 0), (600, 49), (20, 600)])
def test_too_few_rows_say_nothing(before: int, now: int) -> None:
    given = compare({EVERYTHING: table(before)}, {EVERYTHING: table(now, seed=2)}, DriftTerms())
    assert given.drifted is None and "at least 50 of each are needed" in given.unsaid[0]


def test_a_slice_is_found_although_the_whole_looks_the_same() -> None:
    def sliced(now: bool) -> dict[str, TableProfile]:
        draw, made = random.Random(5 + now), {EVERYTHING: empty()}
        for number in range(4_000):
            country = "BR" if number % 20 == 0 and now else ("US", "DE")[number % 2]
            row: Row = {"amount": draw.gauss(10 if country != "BR" else 14, 1), "tenure": draw.random()}
            for name in (EVERYTHING, f"country={country}"):
                made.setdefault(name, empty()).add(row)
        return made

    given = compare(sliced(False), sliced(True), DriftTerms())
    assert {(one.slice, one.column) for one in given.changes if one.drifted} == {("country=BR", "amount")}
    assert ("country=BR", "categorical_values_check") in found(given)


def test_a_baseline_is_the_same_after_it_was_written_and_read() -> None:
    before = table(5_000)
    document = json.loads(json.dumps(make_statistics(before)))
    again = read_statistics(document, random.Random(1).randrange)
    assert make_statistics(again) == document
    now = {EVERYTHING: table(400, shift, 2)}
    assert found(compare({EVERYTHING: again}, now, DriftTerms())) == {("amount", "baseline_drift_check")}
    feature = document["features"][0]
    assert (feature["name"], feature["inferred_type"]) == ("amount", "Fractional")
    assert sum(one["count"] for one in feature["numerical_statistics"]["distribution"]["kll"]["buckets"]) == 5_000
    constraints = make_constraints(before, 0.1)
    assert constraints["features"][2]["string_constraints"] == {"domains": ["DE", "IN", "US"]}
    assert constraints["monitoring_config"]["distribution_constraints"]["comparison_threshold"] == 0.1


def test_a_sketch_with_levels_is_expanded_by_weight() -> None:
    document = make_statistics(table(100))
    sketch = document["features"][0]["numerical_statistics"]["distribution"]["kll"]["sketch"]
    sketch["data"] = [[1.0], [], [2.0], [3.0] * 2]
    assert (
        read_statistics(document, random.Random(1).randrange).columns["amount"].sample
        == [1.0] + [2.0] * 4 + [3.0] * 16
    )
    sketch["data"] = [[]] * 60 + [[5.0, 6.0]]
    assert len(read_statistics(document, random.Random(1).randrange).columns["amount"].sample) == SAMPLE


@pytest.mark.parametrize(
    "document", [[], {}, {"dataset": {"item_count": 1}, "features": [{}]}, {"features": None}]
)
def test_what_is_no_file_of_statistics_is_refused(document: object) -> None:
    with pytest.raises(Invalid, match=r"this is no statistics\.json"):
        read_statistics(document, random.Random(1).randrange)


def test_numbers_are_sampled_evenly_and_texts_are_bounded() -> None:
    made = empty()
    for number in range(20_000):
        made.add({"n": float(number), "t": f"text {number}"})
    numbers, texts = made.columns["n"], made.columns["t"]
    assert len(numbers.sample) == SAMPLE and abs(sum(numbers.sample) / SAMPLE - 10_000) < 500
    assert (numbers.mean, numbers.low, numbers.high, numbers.kind) == (9999.5, 0, 19_999, "Integral")
    assert texts.many and len(texts.categories) == CATEGORIES


def test_names_of_columns_that_clients_make_up_cost_no_memory() -> None:
    made = empty()
    for number in range(3_000):
        made.add({"amount": 1.0, f"made up {number}": 1.0})
    assert len(made.columns) == MOST_COLUMNS and made.columns["amount"].count == 3_000
