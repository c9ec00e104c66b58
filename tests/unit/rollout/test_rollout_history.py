"""The history of versions, and what undo makes of it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import version
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.errors import Conflict, NotFound
from tidegate.domain.history import History, HistoryEntry, VersionOutcome
from tidegate.domain.observation import Capabilities
from tidegate.domain.registry import ContainerDefinition, Upstream
from tidegate.domain.rollout import Cause, DeploymentConfig, Phase, Version
from tidegate.features.labels.store import find_lives
from tidegate.rollout import commands, history, transitions
from tidegate.rollout.digest import digest
from tidegate.rollout.status import status
from tidegate.simulation.world import START


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


class Life:
    """An endpoint and the history that follows it."""

    def __init__(self) -> None:
        self.endpoint = Endpoint("fraud", START, START)
        self.history: History | None = None
        self.minute = 0

    def change(self, after: Endpoint) -> None:
        if history.is_affected(self.endpoint, after):
            self.history = history.follow(self.history, self.endpoint, after, at(self.minute))
        self.endpoint = after

    def begin(self, name: str, by: str = "ann") -> None:
        self.minute += 1
        request = VersionRequest(version(name), DeploymentConfig(), at(self.minute), by)
        self.change(
            commands.begin(
                self.endpoint,
                request,
                rollout_id=f"r{self.minute}",
                can=Capabilities(),
                now=at(self.minute),
                override=True,
            )
        )

    def succeed(self) -> None:
        self.minute += 1
        self.change(transitions.succeed(self.endpoint, at(self.minute))[0])

    def roll_back(self) -> None:
        self.minute += 1
        turned, _ = transitions.begin_rollback(self.endpoint, Cause.ALARM, "alarm errors", at(self.minute))
        self.change(turned)
        if turned.rollout is not None:
            self.change(transitions.finish_rollback(turned, at(self.minute))[0])

    def deploy(self, name: str) -> None:
        self.begin(name)
        self.succeed()

    @property
    def entries(self) -> tuple[HistoryEntry, ...]:
        assert self.history is not None
        return self.history.entries


def test_each_version_says_who_asked_when_it_served_and_why_it_ended() -> None:
    life = Life()
    life.deploy("v1")
    life.begin("v2", "bob")
    life.roll_back()
    life.begin("v3", "cid")
    life.succeed()
    first, second, third = life.entries
    assert (first.number, first.asked_by, first.began_at, first.served_at, first.ended_at) == (
        1,
        "ann",
        at(1),
        at(2),
        at(6),
    )
    assert (first.outcome, first.reason) == (
        VersionOutcome.REPLACED,
        "replaced by version 3, v3, asked for by cid",
    )
    assert (second.outcome, second.served_at, second.ended_at) == (VersionOutcome.ROLLED_BACK, None, at(4))
    assert second.reason == "Deployment rolled back: alarm errors."
    assert (third.outcome, third.served_at, third.ended_at) == (VersionOutcome.SERVING, at(6), None)
    assert len({entry.digest for entry in life.entries}) == 3


def test_a_creation_that_failed_and_its_replacement_are_two_entries() -> None:
    life = Life()
    life.begin("v1")
    life.roll_back()
    assert life.endpoint.failed
    life.change(
        commands.replace_failed_creation(
            life.endpoint,
            VersionRequest(version("v2"), DeploymentConfig(), at(9), "bob"),
            rollout_id="again",
            can=Capabilities(),
            now=at(9),
        )
    )
    assert [entry.outcome for entry in life.entries] == [VersionOutcome.FAILED, VersionOutcome.ROLLING_OUT]


def test_a_record_older_than_its_history_begins_with_what_serves() -> None:
    life = Life()
    life.deploy("v1")
    life.history = None
    life.deploy("v2")
    assert [(entry.number, entry.version.config_name, entry.outcome) for entry in life.entries] == [
        (1, "v1", VersionOutcome.REPLACED),
        (2, "v2", VersionOutcome.SERVING),
    ]
    assert life.entries[0].began_at == at(1) and life.entries[0].asked_by == "ann"


def supersede(life: Life, name: str, id: str) -> None:
    request = VersionRequest(version(name), DeploymentConfig(), at(5), "bob")
    life.change(commands.supersede(life.endpoint, request, rollout_id=id, can=Capabilities(), now=at(5)))


def superseded_life() -> Life:
    """Of v1, which serves, v2, which is rolled back, and v3, which waits for that."""
    life = Life()
    life.deploy("v1")
    life.begin("v2")
    supersede(life, "v3", "next")
    return life


def dropped(life: Life) -> list[tuple[str, str, VersionOutcome, str]]:
    return [
        (entry.version.config_name, entry.asked_by, entry.outcome, entry.reason)
        for entry in life.entries
        if entry.served_at is None and entry.asked_by == "bob"
    ]


def test_an_update_whose_rollback_fails_before_it_says_so_everywhere() -> None:
    life = superseded_life()
    after, events = transitions.fail_rollback(life.endpoint, "no capacity", at(6))
    life.change(after)
    says = "The update to v3, which was to follow, was given up: that rollback failed; deploy it again."
    assert [event.kind for event in events] == ["rollout.RollbackFailed", "rollout.SuccessorDropped"]
    assert events[1].message == says and events[1].data["rollout"] == "next"
    assert status(after)[0] == "UpdateRollbackFailed" and status(after)[1].endswith(says)
    why = "It never began: the rollback that it waited for failed; deploy it again."
    assert dropped(life) == [("v3", "bob", VersionOutcome.FAILED, why)]


def test_each_way_to_lose_a_successor_is_in_the_history() -> None:
    aborted, replaced, deleted = superseded_life(), superseded_life(), superseded_life()
    aborted.change(commands.abort(aborted.endpoint, "cid", at(6)))
    supersede(replaced, "v4", "other")
    deleted.change(commands.delete(deleted.endpoint, at(6), force=True))
    assert dropped(aborted) == [("v3", "bob", VersionOutcome.FAILED, "It never began: it was aborted.")]
    assert dropped(replaced) == [
        ("v3", "bob", VersionOutcome.FAILED, "It never began: v4 was asked for in its place.")
    ]
    assert dropped(deleted) == [("v3", "bob", VersionOutcome.FAILED, "It never began: the endpoint was deleted.")]
    aborted.change(transitions.finish_rollback(aborted.endpoint, at(7))[0])
    assert "The update to v3, which was to follow, was given up: aborted by cid." in status(aborted.endpoint)[1]
    replaced.change(transitions.finish_rollback(replaced.endpoint, at(7))[0])
    assert [entry.outcome for entry in replaced.entries] == [
        VersionOutcome.SERVING,
        VersionOutcome.ROLLED_BACK,
        VersionOutcome.FAILED,
        VersionOutcome.ROLLING_OUT,
    ]


def test_undo_to_a_config_means_one_that_ran_rather_than_one_that_never_began() -> None:
    life = Life()
    life.deploy("v1")
    life.deploy("v2")
    life.begin("v3")
    supersede(life, "v1", "again")
    life.change(transitions.fail_rollback(life.endpoint, "no capacity", at(6))[0])
    assert [entry.number for entry in life.entries if entry.version.config_name == "v1"] == [1, 4]
    assert life.history is not None
    assert [entry.number for entry in life.history.begun] == [1, 2, 3]
    assert len(find_lives(life.history)["v1"]) == 1, "what v1 answered is still measured as a whole"
    assert history.find_target(life.history, "v1").number == 1
    assert history.find_target(life.history, "4").number == 4


def test_a_successor_is_in_the_history_once_it_begins() -> None:
    life = Life()
    life.deploy("v1")
    life.begin("v2")
    request = VersionRequest(version("v3"), DeploymentConfig(), at(5), "bob")
    life.change(commands.supersede(life.endpoint, request, rollout_id="next", can=Capabilities(), now=at(5)))
    assert len(life.entries) == 2
    life.change(transitions.finish_rollback(life.endpoint, at(6))[0])
    assert [entry.outcome for entry in life.entries] == [
        VersionOutcome.SERVING,
        VersionOutcome.ROLLED_BACK,
        VersionOutcome.ROLLING_OUT,
    ]
    assert life.entries[-1].asked_by == "bob"


def test_deleting_in_mid_rollout_ends_the_version_with_its_reason() -> None:
    life = Life()
    life.deploy("v1")
    life.begin("v2")
    life.change(commands.delete(life.endpoint, at(9), force=True))
    assert (life.entries[-1].outcome, life.entries[-1].reason) == (
        VersionOutcome.FAILED,
        "The endpoint was deleted.",
    )


def test_undo_goes_to_the_version_that_served_before_or_to_the_one_that_is_named() -> None:
    life = Life()
    life.deploy("v1")
    life.deploy("v2")
    life.begin("v3")
    life.roll_back()
    assert life.history is not None
    found = {to: history.find_target(life.history, to).number for to in (None, "1", "v1", "3", "v3")}
    assert found == {None: 1, "1": 1, "v1": 1, "3": 3, "v3": 3}
    with pytest.raises(Conflict, match="version 2, v2, serves already"):
        history.find_target(life.history, "2")
    with pytest.raises(NotFound, match="no version '9' in the history, which has 1, 2, 3"):
        history.find_target(life.history, "9")


def test_undo_needs_a_version_that_served_before() -> None:
    life = Life()
    life.deploy("v1")
    assert life.history is not None
    with pytest.raises(Conflict, match="no earlier version has served"):
        history.find_target(life.history, None)


def test_a_restored_version_runs_from_what_was_kept_with_the_instances_of_now() -> None:
    life = Life()
    life.deploy("v1")
    entry = replace(life.entries[0], artifacts={"AllTraffic": ("sha256-1",)})
    scaled = commands.scale(life.endpoint, {"AllTraffic": commands.VariantChange(count=7)}, at(9))
    again = history.restore(entry, scaled.serving)
    variant = again.variants[0]
    assert variant.instance_count == 7
    assert [each.artifact for each in variant.model.containers] == ["sha256-1"]
    assert digest(again) == entry.digest, "it is the same version"


def test_services_at_other_addresses_are_other_versions() -> None:
    """Else one that was turned down would take all others with it, and undo would find none to go back to."""

    def at_address(url: str) -> Version:
        made = version("v")
        (variant,) = made.variants
        service = ContainerDefinition("tidegate/service", upstream=Upstream(url=url, headers={"b": "1", "a": "2"}))
        return replace(made, variants=(replace(variant, model=replace(variant.model, containers=(service,))),))

    assert digest(at_address("http://one")) == digest(at_address("http://one"))
    assert digest(at_address("http://one")) != digest(at_address("http://two"))


@given(st.lists(st.sampled_from(["deploy", "fail", "begin"]), max_size=3 * history.MAX_ENTRIES))
def test_a_long_history_is_bounded_and_never_loses_what_runs_or_served_before(words: list[str]) -> None:
    life = Life()
    life.deploy("v0")
    former = None
    for number, word in enumerate(words, 1):
        if word == "deploy":
            former = next(entry.number for entry in life.entries if entry.outcome is VersionOutcome.SERVING)
            life.deploy(f"v{number}")
        else:
            life.begin(f"v{number}")
            life.roll_back()
    numbers = [entry.number for entry in life.entries]
    assert len(numbers) <= history.MAX_ENTRIES and numbers == sorted(set(numbers))
    assert [entry.outcome for entry in life.entries].count(VersionOutcome.SERVING) == 1
    assert numbers[-1] == len(words) + 1
    assert former is None or former in numbers
    assert all((entry.ended_at is None) == entry.outcome.live for entry in life.entries)


def entry(number: int, outcome: VersionOutcome, *kept: str) -> HistoryEntry:
    return HistoryEntry(
        number,
        f"r{number}",
        version(f"v{number}"),
        DeploymentConfig(),
        "",
        at(number),
        "",
        outcome=outcome,
        artifacts={"AllTraffic": kept} if kept else {},
    )


def test_kept_model_data_is_bounded_by_count_and_size_and_what_runs_always_stays() -> None:
    fraud = History(
        (
            entry(1, VersionOutcome.SERVING, "a"),
            entry(2, VersionOutcome.REPLACED, "b"),
            entry(3, VersionOutcome.ROLLED_BACK, "c"),
            entry(4, VersionOutcome.ROLLED_BACK),
            entry(5, VersionOutcome.ROLLED_BACK, "d"),
        )
    )
    churn = History((entry(6, VersionOutcome.REPLACED, "e"), entry(7, VersionOutcome.ROLLING_OUT, "f")))
    sizes = dict.fromkeys("abcdef", 10)
    both = {"fraud": fraud, "churn": churn}
    assert history.choose_kept(both, sizes, 10, 1_000) == set("abcdef")
    assert history.choose_kept(both, sizes, 1, 1_000) == set("adef"), "one of each beyond what runs"
    assert history.choose_kept(both, sizes, 10, 40) == set("adef"), "the newest that fit"
    assert history.choose_kept(both, sizes, 0, 1_000) == set("af")
    assert history.choose_kept(both, sizes, 10, 0) == set("af")


def test_updates_in_place_of_each_other_push_no_version_that_ran_out_of_the_history() -> None:
    life = Life()
    for number in (1, 2, 3):
        life.deploy(f"v{number}")
    life.begin("v4")
    for number in range(2 * history.MAX_ENTRIES):
        supersede(life, f"w{number}", f"next{number}")
    entries = life.entries
    assert [one.number for one in entries if not one.never_began] == [1, 2, 3, 4]
    assert len(entries) == history.MAX_ENTRIES and entries[-1].version.config_name == f"w{number - 1}"


def test_what_never_began_last_is_shown_in_a_full_history() -> None:
    life = Life()
    for number in range(history.MAX_ENTRIES):
        life.deploy(f"v{number}")
    life.begin("next")
    for number in range(3 * history.UNBEGUN):
        supersede(life, f"w{number}", f"next{number}")
    assert len([one for one in life.entries if one.never_began]) == history.UNBEGUN
    assert len(life.entries) == history.MAX_ENTRIES


def test_phases_that_end_a_rollout_have_an_outcome() -> None:
    assert {phase for phase in Phase if phase.ended} == set(history._OUTCOMES)
