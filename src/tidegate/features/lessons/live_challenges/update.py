"""A live update under load: every request is counted, and by which version it was answered. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.features.lessons.challenge_records import Verdict
from tidegate.features.lessons.live_challenges.model_files import write_model
from tidegate.features.lessons.live_challenges.progress import (
    LAST_ANSWERS,
    Challenge,
    Deploy,
    Judgement,
    LiveStage,
    Moment,
    await_start,
    send_to_first,
)

RATE = 50.0
"""Requests per second."""
INSTANCES = 2
STEP, BAKE, FINAL_BAKE = 50, 3, 2
"""Percent of a step; seconds."""
BESIDE = 2.0
"""Seconds of requests before the update and after it."""
LIMIT = 150.0


def describe_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    rollout = {"strategy": "linear", "step": f"{STEP}%", "wait": f"{BAKE}s", "final_bake": f"{FINAL_BAKE}s"}
    return {**spec, "instances": INSTANCES, "rollout": rollout}


def _begin(at: Moment) -> tuple[Deploy]:
    return (Deploy("v2"),)


CHALLENGE = Challenge(
    "update",
    {"v1": write_model(0.25, 0.75), "v2": write_model(0.30, 0.80)},
    2 * INSTANCES,
    (
        await_start(INSTANCES),
        send_to_first(RATE, BESIDE),
        LiveStage(
            f"The update, {STEP} % at a time",
            LIMIT,
            lambda at: at.facts.outcome != "" and not at.facts.updating,
            f"the update did not end within {LIMIT:.0f} s",
            _begin,
        ),
        LiveStage(
            "The new version alone",
            15.0,
            lambda at: at.seconds >= BESIDE,
            "",
        ),
        LAST_ANSWERS,
    ),
    lambda at, second: {"first": at.facts.config} if at.facts.config and "first" not in at.marks else {},
    lambda at: _judge(at),
    f"{RATE:.0f} requests a second while a new version takes over from the old one, {STEP} % at a time; each step"
    f" is baked for {BAKE} seconds. Every request is counted.",
    (("The update as it goes", "tidegate rollout watch {name}"), ("Its journal", "tidegate events {name}")),
)


def _judge(at: Moment) -> Judgement:
    facts = at.facts
    counted = f"{facts.sent:,} requests sent, {facts.answered:,} answered, {facts.failed:,} failed"
    if facts.outcome != "Succeeded":
        return Judgement(
            Verdict.NOT_SHOWN,
            f"the update ended as {facts.outcome}: {facts.reason or 'why is not known'}; {counted}",
        )
    if facts.failed or facts.answered < facts.sent:
        return Judgement(Verdict.NOT_SHOWN, counted)
    if len([count for count in facts.by_config.values() if count]) < 2:
        return Judgement(Verdict.NOT_SHOWN, f"not both versions answered; {counted}")
    return Judgement(Verdict.SHOWN, counted)
