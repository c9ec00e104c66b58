"""A live incident: a version that answers nothing but errors is shipped with a guard, and is turned back by it. Pure.

The version was trained on more columns than clients send, which is not seen until it is asked. Afterwards somebody
tries it again, which is refused and recorded.
"""

from collections.abc import Mapping
from typing import Any

from tidegate.features.lessons.challenge_records import Verdict
from tidegate.features.lessons.live_challenges.model_files import MORE_COLUMNS, write_model
from tidegate.features.lessons.live_challenges.progress import (
    LAST_ANSWERS,
    Challenge,
    Deploy,
    Judgement,
    LiveStage,
    Moment,
    Retry,
    await_start,
    keep_first,
    send_to_first,
)

RATE = 30.0
"""Requests per second."""
SIZE, BAKE = 25, 20
"""Percent of the requests that the first stage gives to the new version; seconds."""
BESIDE = 2.0
LIMIT = 150.0
ROLLED_BACK = "RolledBack"
GUARD = "errors"


def describe_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    guard = {
        **{"metric": "InvocationModelErrors", "statistic": "Average", "above": "5%"},
        **{"period": "1s", "periods": 3, "datapoints": 2},
    }
    rollout = {"strategy": "canary", "size": f"{SIZE}%", "wait": f"{BAKE}s", "final_bake": "5s", "alarms": [GUARD]}
    return {**spec, "alarms": {GUARD: guard}, "rollout": rollout}


CHALLENGE = Challenge(
    "incident",
    {"v1": write_model(0.25, 0.75), "bad": write_model(0.25, 0.75, MORE_COLUMNS)},
    2,
    (
        await_start(1),
        send_to_first(RATE, BESIDE),
        LiveStage(
            f"A bad version gets {SIZE} % of the requests",
            LIMIT,
            lambda at: at.facts.outcome != "" and not at.facts.updating,
            f"the update did not end within {LIMIT:.0f} s",
            lambda at: (Deploy("bad"),),
        ),
        LiveStage(
            "Somebody tries it again",
            20.0,
            lambda at: "refused" in at.marks,
            "a second try was neither refused nor taken",
            lambda at: (Retry(),),
        ),
        LiveStage("The first version alone", 15.0, lambda at: at.seconds >= BESIDE, ""),
        LAST_ANSWERS,
    ),
    lambda at, second: _remember(at, second),
    lambda at: _judge(at),
    f"{RATE:.0f} requests a second, and a version that was trained on columns that no client sends. {SIZE} % of the"
    " requests meet it, for as long as an alarm of one second lets it. Afterwards it is tried again.",
    (
        ("What happened", "tidegate events {name}"),
        ("Who did what, for admins", "tidegate audit --about {name}"),
    ),
)


def _remember(at: Moment, second: float) -> dict[str, Any]:
    facts = at.facts
    back = facts.outcome == ROLLED_BACK and not facts.updating
    return {
        **keep_first(at.marks, "shipped", bool(facts.share), second),
        **keep_first(at.marks, "back", back, second),
        **({"cause": facts.reason} if back and "cause" not in at.marks else {}),
        **({"lost": facts.failed} if back and "lost" not in at.marks else {}),
    }


def _judge(at: Moment) -> Judgement:
    facts = at.facts
    if facts.outcome != ROLLED_BACK:
        return Judgement(Verdict.NOT_SHOWN, f"the bad version was kept: the update ended as {facts.outcome}")
    if not at.marks["refused"]:
        return Judgement(Verdict.NOT_SHOWN, "the bad version was rolled back, and then taken again")
    return Judgement(
        Verdict.SHOWN,
        f"{facts.failed:,} of {facts.sent:,} requests met the bad version, which was rolled back by itself; trying"
        " it again was refused",
    )
