"""Judged pairs that wait for a person's label: how they are chosen and kept, what a label says, and what the API and
the command show."""

import asyncio
import json
import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import httpx
import pytest
from typer.testing import CliRunner

from tests.features.evidence.unit.test_comparisons import VERSIONS, Day, day, judged_rounds
from tests.gateway_harness import GatewayHarness
from tests.memory_store import MemoryStore
from tests.served_wire import HandClock
from tests.unit.cli.stub_server import found, stub
from tests.unit.rollout.test_rollout_comparison import baking
from tidegate.cli.app import app
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.evidence import Comparison, EvidenceConfig, Judging
from tidegate.features.evidence.judge import recompute_record
from tidegate.features.evidence.judge_questions import JudgeQuestions
from tidegate.features.evidence.kept_pairs import KEPT_FOR, KeptPair, KeptPairs, PairGroup
from tidegate.features.evidence.labelling import LABELS, find_waiting, keep_label, label_pair
from tidegate.features.evidence.loop import LABELS_EVERY, SAVE_EVERY, Comparisons
from tidegate.features.evidence.start import PairCleaner
from tidegate.service.record_kinds import ENDPOINT
from tidegate.settings import Settings
from tidegate.statistics.preferences import ENOUGH, GROUP

NOW = datetime(2026, 3, 1, tzinfo=UTC)
JUDGED = EvidenceConfig((Comparison.JUDGE,), judging=Judging("http://judge", "m", asks=400, labels=ENOUGH))
TEXTS = ("hello", "the old answer", "the new answer")


def kept(id: str, new_first: bool = False, texts: tuple[str, str, str] | None = TEXTS) -> KeptPair:
    return KeptPair(id, "main", (1.0, 0.5, 0.0, 1.0), 2, new_first, texts)


# --- which pairs are chosen ---


def test_each_pair_of_a_group_is_chosen_with_the_same_probability_whatever_is_in_it() -> None:
    chance, places, orders = Random(1), Counter[int](), Counter[bool]()
    for _ in range(4_000):
        group = PairGroup.begin("main", chance)
        chosen = [group.add(1.0, ("", f"old {number}", f"new {number}")) for number in range(GROUP)]
        assert chosen[:-1] == [None] * (GROUP - 1)
        pair = chosen[-1]
        assert pair is not None and pair.texts == ("", f"old {pair.chosen}", f"new {pair.chosen}")
        places[pair.chosen] += 1
        orders[pair.new_first] += 1
    assert all(abs(count - 1_000) < 150 for count in places.values()) and len(places) == GROUP
    assert abs(orders[True] - 2_000) < 200


def test_of_equal_answers_nothing_is_kept_to_be_read() -> None:
    group = PairGroup("main", "a", 1, False)
    for number in range(GROUP):
        found = group.add(0.5, ("q", "same", "same") if number == 1 else TEXTS)
    assert found is not None and found.texts is None


async def test_no_more_pairs_are_kept_than_the_settings_say(tmp_path: Path) -> None:
    async def ask(judging: Judging, body: bytes) -> bytes:
        raise AssertionError("nothing is asked")

    questions = JudgeQuestions("e", Judging("http://judge", "m", labels=2), ask, Random(1))
    questions.kept = KeptPairs(tmp_path, "e", "r")
    for number in range(5 * GROUP):
        questions._sample("main", 1.0, ("q", f"old {number}", "new"))
    assert len(questions.kept.read()) == 2


# --- where they are ---


def test_pairs_are_read_in_their_order_and_go_with_their_label_and_their_rollout(tmp_path: Path) -> None:
    pairs = KeptPairs(tmp_path, "chat", "r1")
    for id in ("c", "a", "b"):
        pairs.add(kept(id))
    assert [one.id for one in pairs.read()] == ["c", "a", "b"]
    pairs.remove({"c", "b"})
    assert [one.id for one in pairs.read()] == ["a"]
    pairs.add(kept("d"))
    assert [one.id for one in pairs.read()] == ["a", "d"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "judged/chat/r1").iterdir())
    pairs.clear()
    assert pairs.read() == []


async def test_pairs_go_that_are_old_or_labelled_or_of_an_ended_rollout_though_none_begins(tmp_path: Path) -> None:
    endpoint, _ = baking(JUDGED)
    assert endpoint.rollout is not None
    store, present = MemoryStore(), endpoint.rollout.id
    for name, rollout in (("chat", endpoint.rollout), ("ended", None)):
        record = replace(endpoint, name=name, rollout=rollout)
        await store.run(lambda tx, one=record: tx.put(ENDPOINT, one.name, one, expect=None, now=NOW))  # type: ignore[misc]
    for name, other in (("chat", "earlier"), ("ended", "last"), ("gone", "last")):
        KeptPairs(tmp_path, name, other).add(kept("a"))
    pairs, folder, limit = KeptPairs(tmp_path, "chat", present), tmp_path / "judged/chat" / present, KEPT_FOR
    for id in ("labelled", "old", "waits"):
        pairs.add(kept(id))
    await store.run(lambda tx: keep_label(tx, ("chat", present), pairs.read(), "labelled", "A", NOW))
    (folder / "000003-torn.json.new").write_text("a part of a text")
    for file, age in {
        "000001-old.json": limit + 60,
        "000002-waits.json": limit - 60,
        "000003-torn.json.new": limit + 60,
    }.items():
        os.utime(folder / file, (NOW.timestamp() - age,) * 2)
    await PairCleaner(tmp_path, store, HandClock(NOW)).turn()
    left = [str(path.relative_to(tmp_path / "judged")) for path in (tmp_path / "judged").glob("*/*/*")]
    assert left == [f"chat/{present}/000002-waits.json"]


def test_a_pair_that_cannot_be_kept_or_read_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs = KeptPairs(tmp_path, "chat", "r1")
    pairs.add(kept("a"))
    (tmp_path / "judged/chat/r1/000000-a.json").write_text("{")
    assert pairs.read() == []
    (tmp_path / "judged/file").write_text("")
    KeptPairs(tmp_path, "file", "r1").add(kept("a"))
    assert "cannot be kept" in caplog.text


# --- what a label says ---


@pytest.mark.parametrize(
    ("better", "new_first", "preferred"),
    [("A", False, 1.0), ("B", False, 0.0), ("A", True, 0.0), ("B", True, 1.0), ("neither", True, 0.5)],
)
def test_a_label_names_the_version_by_the_order_that_was_shown(
    better: str, new_first: bool, preferred: float
) -> None:
    (found,) = label_pair([kept("a", new_first)], (), "a", better)
    assert (found.preferred, found.judged, found.chosen) == (preferred, (1.0, 0.5, 0.0, 1.0), 2)


def test_pairs_of_equal_answers_count_as_neither_once_one_after_them_is_labelled() -> None:
    pairs = [kept("a"), kept("b", texts=None), kept("c"), kept("d", texts=None)]
    assert [one.id for one in find_waiting(pairs, {"a"})] == ["c"]
    assert [one.id for one in label_pair(pairs, (), "a", "A")] == ["a"]
    found = label_pair(pairs, {"a"}, "c", "A")
    assert [(one.id, one.preferred) for one in found] == [("b", 0.5), ("c", 1.0)]


@pytest.mark.parametrize("id", ["b", "x"])
def test_no_pair_is_left_out(id: str) -> None:
    with pytest.raises(Conflict, match="in the order in which they were judged"):
        label_pair([kept("a"), kept("b")], (), id, "A")
    with pytest.raises(Conflict):
        label_pair([kept("a")], {"a"}, "a", "A")
    with pytest.raises(Invalid, match="must be one of A, B, neither"):
        label_pair([kept("a")], (), "a", "C")


# --- in a rollout ---


async def prefer_old(judging: Judging, body: bytes) -> bytes:
    shown = json.loads(body)["messages"][1]["content"]
    letter = "A" if shown.index("old") < shown.index("new") else "B"
    return json.dumps({"choices": [{"message": {"content": letter}}]}).encode()


def with_pairs(today: Day, folder: Path) -> Day:
    today.comparisons = Comparisons(today.store, ask=prefer_old, state=folder)
    return today


async def test_labels_reach_the_evidence_and_outlive_the_controller(tmp_path: Path) -> None:
    today = with_pairs(await day(versions=replace(VERSIONS, config=JUDGED)), tmp_path)
    pairs = KeptPairs(tmp_path, "fraud", "r1")
    await judged_rounds(today, 30, 1)
    waiting = pairs.read()
    assert len(waiting) > 5
    for number, one in enumerate(waiting[:5]):
        better = "A" if one.new_first == bool(number % 2) else "B"
        await today.store.run(
            lambda tx, id=one.id, said=better: keep_label(tx, ("fraud", "r1"), waiting, id, said, NOW)  # type: ignore[misc]
        )
    pairs.remove({one.id for one in waiting[:5]})
    await judged_rounds(today, LABELS_EVERY + SAVE_EVERY + 5, 1_001)
    record = await today.kept()
    assert record is not None
    again, same = recompute_record(record)
    assert same and again.results[0].labels == (5, ENOUGH)
    labels = [one.preferred for block in record.blocks.values() for one in block.preferences]
    assert labels == [1.0, 0.0, 1.0, 0.0, 1.0]
    before = len(pairs.read())
    with_pairs(today, tmp_path)
    await judged_rounds(today, 2 * LABELS_EVERY, 2_001)
    tracked = today.comparisons._tracked["r1"]
    assert tracked.judge is not None and tracked.judge.chosen["main"] >= 5 + before
    found = today.comparisons.verdict("r1")
    assert found is not None and found.results[0].labels == (5, ENOUGH), "none is counted twice"
    await today.pass_by(1, ended=True)
    assert pairs.read() == [] and not list(tmp_path.glob("judged/fraud/*"))


# --- the API and the command ---

PATH = "/tidegate/v1/endpoints/fraud/evidence/pair"


def requests(house: GatewayHarness, *sent: tuple[str, object]) -> list[httpx.Response]:
    async def send() -> list[httpx.Response]:
        endpoint, _ = baking(JUDGED)
        await house.store.run(
            lambda tx: tx.put(ENDPOINT, "fraud", replace(endpoint, name="fraud"), expect=None, now=NOW)
        )
        rollout = endpoint.rollout
        assert rollout is not None
        pairs = KeptPairs(house.settings.state, "fraud", rollout.id)
        for id, new_first in (("a", True), ("b", False)):
            pairs.add(kept(id, new_first))
        async with house.client() as client:
            return [await client.request(method, PATH, json=body) for method, body in sent]

    return asyncio.run(send())


def test_a_person_is_shown_two_answers_in_random_order_and_not_who_wrote_them(tmp_path: Path) -> None:
    house = GatewayHarness(Settings(state=tmp_path))
    label = {"pair": "a", "better": "A"}
    shown, labelled, again, wrong = requests(
        house, ("GET", None), ("POST", label), ("POST", label), ("POST", {"pair": "b"})
    )
    assert shown.json()["pair"] == {"id": "a", "request": "hello", "A": TEXTS[2], "B": TEXTS[1]}
    assert (shown.json()["labelled"], shown.json()["enough"], shown.json()["waiting"]) == (0, ENOUGH, 2)
    assert "judged" not in shown.text and "new_first" not in shown.text
    assert labelled.json()["pair"] == {"id": "b", "request": "hello", "A": TEXTS[1], "B": TEXTS[2]}
    assert (labelled.json()["labelled"], labelled.json()["waiting"]) == (1, 1)
    assert (again.status_code, wrong.status_code) == (409, 400)
    record = asyncio.run(house.store.run(lambda tx: tx.get(LABELS, "fraud")))
    assert record is not None and [one.preferred for one in record.body.preferences] == [0.0]
    assert len(list(tmp_path.glob("judged/fraud/*/*.json"))) == 1, "a labelled text is not kept"


def test_the_command_shows_pair_after_pair_until_a_person_ends(tmp_path: Path) -> None:
    document = {"labelled": 3, "enough": ENOUGH, "waiting": 2, "rollout": "r", "endpoint": "fraud"}
    pair = {"id": "a", "request": "hello", "A": "one\x1b[2J", "B": "two"}
    with stub({PATH: found(document | {"pair": pair})}) as (url, seen):
        done = CliRunner().invoke(
            app, ["rollout", "evidence", "label", "fraud"], input="x\nb\nn\nq\n", env={"TIDEGATE_URL": url}
        )
        CliRunner().invoke(
            app,
            ["rollout", "evidence", "label", "fraud", "--pair", "a", "--better", "A"],
            env={"TIDEGATE_URL": url},
        )
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout and "ANSWER B\ntwo" in done.stdout
    assert done.stdout.endswith("3 pairs have labels (75 of a variant decide), 2 wait\n")
    posted = [json.loads(one["body"])["better"] for one in seen if one["method"] == "POST"]
    assert posted == ["B", "neither", "A"]
