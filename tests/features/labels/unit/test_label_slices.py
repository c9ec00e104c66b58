"""Late labels by slices of the requests: kept with predictions, measured, compared and shown."""

import base64
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.memory_store import MemoryStore
from tests.samples import canary, percent, version
from tidegate.cli.output import console
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.replay import ReplayConfig
from tidegate.features.labels.command_report import make_report
from tidegate.features.labels.follow import find_followed
from tidegate.features.labels.label_terms import LabelTerms
from tidegate.features.labels.ledger import AnsweringVersion, LabelKind, SideBySide
from tidegate.features.labels.page import labels_page
from tidegate.features.labels.report import FEWEST, MOST_SLICES, QualityQuestion
from tidegate.features.labels.store import LabelStore
from tidegate.features.labels.tables import render_versions
from tidegate.ports.store import Tx
from tidegate.rows.label_lines import Label, Prediction, read_prediction
from tidegate.service.record_kinds import ENDPOINT
from tidegate.statistics import label_quality
from tidegate.statistics.label_quality import SLICE_BEGINS, TimedLabel, compare_amounts

NOW = 1_772_366_400.0
OLD, NEW = AnsweringVersion("v1", "blue"), AnsweringVersion("v2", "blue")


def line(data: str, encoding: str, kind: str | None) -> bytes:
    side = {"data": data, "encoding": encoding} | ({"observedContentType": kind} if kind else {})
    about = {"eventId": "e", "inferenceTime": "2026-03-01T12:00:00Z", "configName": "v1"}
    output = {"data": "0.5", "encoding": "CSV"}
    return json.dumps(
        {"captureData": {"endpointInput": side, "endpointOutput": output}, "eventMetadata": about}
    ).encode()


@pytest.mark.parametrize(("data", "encoding", "kind", "columns", "slices"), [
    ("1,DE,7", "CSV", "text/csv", ("1",), ("1=DE",)),
    ("1,DE,7", "CSV", None, ("1", "2"), ("1=DE", "2=7")),
    ('{"country": "DE", "role": 3}', "JSON", "application/json", ("country", "role"), ("country=DE", "role=3")),
    ('{"instances": [{"country": "DE"}, {"country": "US"}]}', "JSON", None, ("country",), ("country=DE",)),
    ('{"country": null}', "JSON", None, ("country", "role"), ("country=",)),
    ('{"country": "a\\nb=c"}', "JSON", None, ("country",), ("country=a b=c",)),
    ('{"email": "ann@example.com", "by": "ann@example.com"}', "JSON", None, ("email", "by"),
     ("email=[email]", "by=[email]")),
    (base64.b64encode(b"1,DE").decode(), "BASE64", "text/csv", ("1",), ("1=DE",)),
    ("!", "BASE64", "text/csv", ("1",), ()),
    ("[[", "JSON", None, ("country",), ()),
    ("1,DE,7", "CSV", None, (), ()),
])  # fmt: skip
def test_a_captured_request_is_in_the_slices_of_its_columns(
    data: str, encoding: str, kind: str | None, columns: tuple[str, ...], slices: tuple[str, ...]
) -> None:
    found = read_prediction(line(data, encoding, kind), "", columns=columns)
    assert isinstance(found, Prediction) and found.slices == slices


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    """Amounts; the new version errs three times as much in CH, which is one request in eight."""
    made, chance = LabelStore(tmp_path / "labels", "rents"), random.Random(4)
    predictions, labels = [], []
    for number in range(16_000):
        country, side = ("DE" if chance.random() < 0.875 else "CH"), NEW if number % 2 else OLD
        truth = chance.gauss(1_000, 200)
        worse = 3 if side is NEW and country == "CH" else 1
        score = truth + worse * chance.gauss(0, 50)
        slices = (f"country={country}", f"size={number}")
        predictions.append(Prediction(f"i{number}", NOW - 60, score, side.config, "blue", slices))
        labels.append(Label(f"i{number}", truth, NOW, None, NOW))
    made.accept(labels, LabelTerms(kind=LabelKind.AMOUNTS))
    made.add_file("x.jsonl", predictions)
    return made


def described(store: LabelStore) -> dict[str, Any]:
    return store.describe(QualityQuestion(), NOW, [SideBySide(OLD, NEW)])


def test_each_slice_with_enough_labels_is_measured_and_the_worse_one_is_found(store: LabelStore) -> None:
    found = described(store)
    old, new = found["versions"]
    assert [one["slice"] for one in new["slices"]] == ["country=DE", "country=CH"], "no size has enough labels"
    (_, before), (same, after) = [[one["quality"] for one in side["slices"]] for side in (old, new)]
    assert after["mean_absolute_error"] > 2.5 * before["mean_absolute_error"]
    assert same["mean_absolute_error"] == pytest.approx(40, rel=0.1) and same["pairs"] > 6_000
    [compared] = found["comparisons"]
    assert compared["slice"] == "country=CH" and compared["evidence"] >= 1
    assert {one["slice"] for one in compared["tests"]} == {"", "country=DE", "country=CH"}


def test_what_is_measured_by_slice_is_shown_everywhere(store: LabelStore) -> None:
    found = {"endpoint": "rents", **described(store)}
    screen = console()
    with screen.capture() as captured:
        for part in render_versions(found):
            screen.print(part)
    shown = " ".join(captured.get().split())
    for text in ("MEAN ABS ERROR", "RMSE", "BIAS", "v2 compared with v1, country=CH: mean absolute error"):
        assert text in shown
    assert "AUC" not in shown
    page = labels_page(found)
    assert {each["name"] for one in page["versions"] for each in one["slices"]} == {"country=DE", "country=CH"}
    assert all(one["more"].startswith("RMSE ") for one in page["versions"])
    assert any("country=CH" in text for text in page["comparisons"][0]["lines"])
    tables = make_report("rents", found, []).tables
    assert [one.title for one in tables if len(one.rows) == 4] == ["Slices"]


def test_a_file_of_an_earlier_release_gets_slices(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "rents.db")) as database:
        database.execute(
            "CREATE TABLE predictions (id TEXT PRIMARY KEY, at REAL, score REAL, config TEXT, variant TEXT,"
            " times INTEGER DEFAULT 1) WITHOUT ROWID"
        )
        database.execute("INSERT INTO predictions VALUES ('a', ?, 7, 'v1', 'blue', 1)", (NOW - 60,))
        database.commit()
    store = LabelStore(folder, "rents")
    store.add_file("x.jsonl", [Prediction("b", NOW - 60, 8, "v1", "blue", ("country=DE",))])
    store.accept([Label(id, 9.5, NOW, None, NOW) for id in "ab"], LabelTerms())
    [found] = store.describe(QualityQuestion(), NOW, ())["versions"]
    assert found["quality"]["mean_absolute_error"] == 2.0 and found["slices"] == []


def test_no_more_slices_are_measured_than_are_shown(tmp_path: Path) -> None:
    store = LabelStore(tmp_path, "rents")
    many = [
        Prediction(f"{name}-{n}", NOW - 60, 8, "v1", "blue", (f"c={name}", f"c={name}0"))
        for name in range(MOST_SLICES + 5)
        for n in range(FEWEST + name)
    ]
    store.add_file("x.jsonl", many)
    store.accept([Label(one.id, 9.5, NOW, None, NOW) for one in many], LabelTerms())
    [found] = store.describe(QualityQuestion(), NOW, ())["versions"]
    counts = [one["labelled"] for one in found["slices"]]
    assert len(counts) == MOST_SLICES and counts == sorted(counts, reverse=True)
    assert all(one["labelled"] == one["quality"]["pairs"] for one in found["slices"]), "c=1 is not c=10"


def test_a_column_with_another_value_in_each_request_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_quality, "MOST_COUNTED", 500)

    def labels() -> Iterator[TimedLabel]:
        for at in range(2_000):
            yield TimedLabel(bool(at % 2), str(at), 1.0, 2.0, ("country=DE", f"id={at}"))

    found = compare_amounts(labels())
    assert [one.slice for one in found.tests] == ["", "country=DE"]
    assert found.tests[1].old[0] + found.tests[1].new[0] == 2_000 - SLICE_BEGINS


@pytest.mark.parametrize(("evidence", "columns"), [
    (None, ()),
    (EvidenceConfig(), ()),
    (EvidenceConfig((Comparison.PAIRED,), slices=("country", "2")), ("country", "2")),
    (EvidenceConfig(replay=ReplayConfig("", by="country")), ("country",)),
    (EvidenceConfig((Comparison.PAIRED,), slices=("2", "country"), replay=ReplayConfig("", by="country")),
     ("2", "country")),
])  # fmt: skip
async def test_columns_are_those_by_which_the_rollout_compares(
    evidence: EvidenceConfig | None, columns: tuple[str, ...]
) -> None:
    store, at = MemoryStore(), datetime(2026, 3, 1, tzinfo=UTC)
    deployment = replace(canary(percent(10), 60), evidence=evidence)
    endpoint = Endpoint("rents", at, at, serving=version("v1"), deployment=deployment)

    def work(tx: Tx) -> None:
        tx.put(ENDPOINT, "rents", endpoint, expect=None, now=at)

    await store.run(work)
    found = await store.run(lambda tx: find_followed(tx, "rents"))
    assert found is not None and found.columns == columns
