"""Lessons in simulation only: what they show is what the production code does with what is chosen."""

import pytest

from tests.features.lessons.unit.test_simulated_challenges import play, shown
from tidegate.features.lessons.catalogue import SIMULATED, find_lesson


@pytest.mark.parametrize("name", SIMULATED)
def test_every_choice_of_a_lesson_can_be_played(name: str) -> None:
    simulation = find_lesson(name).simulation
    assert simulation is not None
    for choice in simulation.choices:
        for value in choice.titles:
            assert play(name, **{choice.name: value})["stats"]


def test_a_cold_start_delays_the_first_answer_and_provisioned_concurrency_does_not() -> None:
    made = shown("modes", burst="1", start="30", work="0.4")
    assert made["Serverless"]["first"] == pytest.approx(30.4, abs=0.2)
    assert made["Serverless, provisioned"]["first"] == pytest.approx(0.4, abs=0.1)
    assert made["Serverless"]["instance_seconds"] < made["Serverless, provisioned"]["instance_seconds"]


def test_a_burst_is_refused_by_one_instance_and_kept_by_a_queue() -> None:
    made = shown("modes", burst="400", work="0.4")
    assert made["Real-time"]["refused"] > 0
    assert made["Real-time"]["answered"] + made["Real-time"]["refused"] == 400
    assert (made["Asynchronous"]["answered"], made["Asynchronous"]["refused"]) == (400, 0)
    assert made["Asynchronous"]["slowest"] > made["Serverless"]["slowest"]
    assert made["Batch"]["instance_seconds"] < made["Asynchronous"]["instance_seconds"]


def test_a_failing_container_fails_all_of_a_pipeline_and_a_third_of_a_direct_endpoint() -> None:
    made = shown("containers", fault="fails", container="check")
    assert (made["pipeline"], made["spared"]) == (0.0, 1.0)
    assert made["direct"] == pytest.approx(2 / 3, abs=0.01)
    assert all("check: the model raised an exception" in text for text in made["failures"].values())


def test_a_slow_container_is_named_by_the_timeout_of_a_pipeline() -> None:
    made = shown("containers", fault="slow", container="score")
    assert made["pipeline"] < 0.1 and made["spared"] == 1.0
    assert "timed out while waiting for a response from container score" in made["failures"]["Pipeline"]


def test_a_direct_endpoint_refuses_a_request_that_names_no_container() -> None:
    made = shown("containers", fault="unnamed")
    assert (made["pipeline"], made["direct"]) == (1.0, 0.0)
    assert "TargetContainerHostname is required" in made["failures"]["Direct"]
    assert made["way"] == ["prepare", "score", "check"]


def test_an_interruption_of_spot_makes_production_wait() -> None:
    none, half, everything = (shown("spot", lost=lost) for lost in ("none", "half", "all"))
    assert none["late"] == 0 < half["late"] < everything["late"]
    assert (none["fewest"], half["fewest"], everything["fewest"]) == (4, 2, 0)
    assert everything["without"] == pytest.approx(120, abs=2)
    assert {one["phase"] for one in (none, half, everything)} == {"Succeeded"}


def test_the_rollout_holds_until_instances_that_were_taken_away_are_back() -> None:
    said = [line["said"] for line in play("spot", lost="half")["journal"]["lines"]]
    assert any("is short of ready instances; holding" in text for text in said)
    assert any("capacity is complete again" in text for text in said)


def test_each_guard_sees_the_faults_that_its_metric_counts() -> None:
    usual = shown("alarms")
    seen = {fault: one["seen"] for fault, one in usual.items()}
    assert seen["error-rate=5%"] == "errors" and seen["refusal-rate=10%"] == "refused"
    assert seen["latency=+80ms"] == "slow" and seen["failed-start"] == "the rollout itself"
    assert seen["prediction-shift=0.5"] == "nobody"
    compared = shown("alarms", guards="predictions")
    assert compared["prediction-shift=0.5"] == {"outcome": "rolled back", "seen": "the evidence"}
    assert compared["error-rate=5%"]["seen"] == "nobody"


def test_a_role_may_do_what_the_lower_ones_may_and_refusals_are_recorded() -> None:
    roles = [shown("access", role=role) for role in ("nobody", "viewer", "operator", "admin")]
    counts = [len(one["allowed"]) for one in roles]
    assert counts == sorted(set(counts)) and counts[0] == 0 and counts[-1] == 8
    assert "change" in roles[1]["recorded"] and "change" not in roles[1]["allowed"]
    assert "see" in roles[2]["allowed"] and "see" in roles[2]["recorded"]


def test_a_capture_keeps_no_personal_data_and_nothing_that_it_cannot_read() -> None:
    assert "078-05-1120" in shown("access", body="payroll", redaction="none")["kept"]
    for treatment in ("mask", "hash"):
        kept = shown("access", body="payroll", redaction=treatment)["kept"]
        assert "078-05-1120" not in kept and "DE89" not in kept and "38.5" in kept
    assert shown("access", body="scan")["kept"] is None
