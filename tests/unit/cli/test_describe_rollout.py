"""Rollouts and histories as lines that fit 80 columns."""

from typing import Any

from tidegate.cli.describe_rollout import describe_history, describe_rollout

AT = "2026-11-26T19:00:00+00:00"


def version(**more: Any) -> dict[str, Any]:
    return {
        "version": 2,
        "config": "fraud-0123456789ab",
        "state": "RolledBack",
        "by": "ann",
        "began_at": AT,
        "served_at": None,
        "ended_at": AT,
        "reason": "Deployment rolled back: alarm(s) [fraud-0123456789ab-errors] in ALARM state during baking.",
        "spec_digest": "0123456789abcdef",
        "artifact_digests": {"main": ["sha256-" + "a" * 64, ""]},
        "artifacts_kept": True,
        **more,
    }


def rollout(**more: Any) -> dict[str, Any]:
    return {
        "from": "v1",
        "to": "v2",
        "phase": "Baking",
        "stage": 1,
        "stages": 2,
        "share": {"now": 10.0, "next": 100.0},
        "paused": None,
        "started_at": AT,
        "bake_until": AT,
        "deadline": None,
        "expires_at": None,
        "reason": None,
        "conditions": [],
        **more,
    }


def test_a_history_fits_80_columns_and_says_all() -> None:
    text = describe_history([version(), version(version=1, artifacts_kept=False, by="")])
    assert max(map(len, text.splitlines())) < 80
    first, second = text.split("version 1")
    assert first.startswith("version 2  fraud-0123456789ab  rolled back\n")
    for part in ("ann", "2026-11-2", "0123456789abcdef", "sha256-aaaaaaaaaaaa", "during baking."):
        assert part in first
    assert "served from" not in first and "not kept" not in first
    assert "somebody" in second and "not kept: undo is not possible" in second
    assert describe_history([]) == "no version yet"


def test_a_rollout_in_progress_shows_its_phase_and_traffic() -> None:
    paused = {"since": AT, "by": "bob"}
    condition = {"type": "Promoted", "status": True, "message": "bob"}
    text = describe_rollout(
        {"name": "fraud", "rollout": rollout(paused=paused, conditions=[condition]), "last": None}
    )
    assert text.splitlines()[0] == 'endpoint "fraud": v1 -> v2'
    for part in ("Baking, stage 1 of 2", "10 %, then 100 %", "by bob", "Promoted:"):
        assert part in text


def test_without_a_rollout_the_end_of_the_last_is_shown() -> None:
    last = {"to": "v2", "outcome": "RolledBack", "started_at": AT, "ended_at": AT, "reason": "too many errors"}
    text = describe_rollout({"name": "fraud", "rollout": None, "last": last})
    assert "no rollout is in progress" in text and "v2, rolled back" in text and "too many errors" in text
    assert (
        describe_rollout({"name": "e", "rollout": None, "last": None}) == 'endpoint "e": there has been no rollout'
    )
