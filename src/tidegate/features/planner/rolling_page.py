"""Rolling beside a shift between two fleets, with an alarm at the same stage; and the playbook. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from tidegate.features.planner import planning as planner
from tidegate.features.planner.tables import table
from tidegate.features.rehearse.page import DEFAULTS, STRATEGIES, build_spec

COMPARED = ("linear", "rolling")
RATE = 40
STAGE = 3
FORM = {**DEFAULTS, "size": "25%", "wait": "2m", "final_bake": "1m", "instances": "8", "startup": "2m"}


def simulations() -> list[dict[str, Any]]:
    """Return the simulations that the page compares: they differ in their strategy only. An alarm fires in the third
    stage, at 75 %."""
    return [
        {
            "spec": build_spec({**FORM, "strategy": name}),
            "startup": FORM["startup"],
            "alarms": [f"errors@stage={STAGE}"],
            "only": "timeline",
        }
        for name in COMPARED
    ]


def compared(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the strategies. ``outcomes``: what the simulations found, in their order."""
    ways = [_way(name, outcome["moments"]) for name, outcome in zip(COMPARED, outcomes, strict=True)]
    end = max(way["points"][-1][0] for way in ways) + 30
    grid = sorted({0.0, end, *(at for way in ways for at, _ in way["points"])})
    looks: tuple[dict[str, Any], ...] = ({"colour": "--blue"}, {"colour": "--green", "dash": [7, 4]})
    series = [
        {"label": way["title"], **look, "values": [_share(way["points"], at) for at in grid]}
        for way, look in zip(ways, looks, strict=True)
    ]
    minutes = [round(at / 60, 2) for at in grid]
    curve = {"x": minutes, "series": series, "steps": True, "across": "minutes", "after": " %"}
    return {"ways": ways, "curve": curve, "form": FORM, "rate": RATE, "playbook": _playbook()}


def _way(name: str, moments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Measure one strategy: ``seconds`` from the decision to roll back until the old version answers everything;
    ``requests`` that the bad one answered meanwhile."""
    turned = next(one["at"] for one in moments if one["phase"] == "RollingBack")
    after = [one for one in moments if one["at"] >= turned]
    back = next(one["at"] for one in after if not one["share"])
    answered = sum(one["share"] / 10_000 * (later["at"] - one["at"]) * RATE for one, later in pairwise(after))
    return {
        "name": name,
        "title": STRATEGIES[name],
        "seconds": round(back - turned),
        "requests": round(answered),
        "most": max(one["old_ready"] + one["new_ready"] for one in moments),
        "left": after[0]["old_ready"],
        "points": [(one["at"], one["share"] / 100) for one in moments],
    }


def _share(points: Sequence[tuple[float, float]], at: float) -> float:
    return next((share for moment, share in reversed(points) if moment <= at), 0.0)


def _playbook() -> list[dict[str, str]]:
    """Return the presets, with the planner's reason for each."""
    titles = {one["answers"].get("playbook"): one["title"] for one in planner.examples().values()}
    return [
        {
            "name": name,
            "title": titles.get(name, name),
            "because": preset["because"],
            **_in_words(preset["rollout"]),
        }
        for name, preset in table("strategies")["presets"].items()
    ]


def _in_words(rollout: Mapping[str, str]) -> dict[str, str]:
    size = rollout.get("size") or rollout.get("step") or "100%"
    wait = rollout.get("wait", "-")
    asked = {
        "strategy": rollout["strategy"],
        "size": size,
        "wait": wait if "wait" in rollout else DEFAULTS["wait"],
    }
    query = urlencode(asked)
    return {"strategy": STRATEGIES[rollout["strategy"]], "size": size, "wait": wait, "query": query}
