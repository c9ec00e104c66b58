"""What every target must do, one function for each row of the table in docs/targets.md."""

from collections.abc import Callable, Mapping

import pytest

from tests.conformance.lab import BETTER, FAILING, SLOW, UNSTARTABLE, Lab, endpoint
from tests.scene import Scene
from tidegate.cli.client import ServerError

CANARY = {"strategy": "canary", "size": "50%", "wait": "4s", "final_bake": "2s"}
STRATEGIES: Mapping[str, Mapping[str, str]] = {
    "all at once": {"strategy": "all_at_once", "final_bake": "2s"},
    "canary": CANARY,
    "linear": {"strategy": "linear", "step": "50%", "wait": "2s", "final_bake": "2s"},
    "rolling": {"strategy": "rolling", "batch": "50%", "wait": "2s"},
}
LONG = {**CANARY, "wait": "10m"}
"""A rollout that is under way until something ends it."""


def deploy(lab: Lab) -> None:
    """A new endpoint answers with its version."""
    with endpoint(lab, "deploy") as made:
        config = made.create()
        with lab.load(made.name) as load:
            made.until("answers", lambda _: load.seen().served.get(config, 0) >= 20)
        assert load.seen().failed == 0
        assert set(load.seen().served) == {config}


def forward(lab: Lab, strategy: str) -> None:
    """An update under load ends on the new version, and no request is lost."""
    with endpoint(lab, strategy.replace(" ", "-")) as made:
        made.create()
        with lab.load(made.name) as load:
            new = made.deploy(BETTER, STRATEGIES[strategy])
            found = made.settled()
            assert found["config"] == new, found
            before = load.seen().served.get(new, 0)
            made.until("answers", lambda _: load.seen().served.get(new, 0) > before)
        assert load.seen().failed == 0


def _turned_back(lab: Lab, name: str, version: str, words: str, loses_requests: bool) -> None:
    with endpoint(lab, name) as made:
        old = made.create()
        with lab.load(made.name) as load:
            made.deploy(version, LONG)
            found = made.settled()
            assert found["config"] == old, found
            assert words in (found["last"]["reason"] or ""), found["last"]
            failed = load.seen().failed
            answers = load.seen().served.get(old, 0)
            made.until("answers of the old version", lambda _: load.seen().served.get(old, 0) >= answers + 20)
            assert load.seen().failed == failed, "no request fails once the rollback is over"
        assert (load.seen().failed > 0) == loses_requests


def roll_back_on_errors(lab: Lab) -> None:
    """A version that fails requests is rolled back by its error alarm."""
    _turned_back(lab, "errors", FAILING, "errors", loses_requests=True)


def roll_back_on_latency(lab: Lab) -> None:
    """A slow version is rolled back by its latency alarm; no request fails."""
    _turned_back(lab, "latency", SLOW, "latency", loses_requests=False)


def roll_back_on_failed_start(lab: Lab) -> None:
    """A version that never becomes ready gets no request, and the reason is given."""
    with endpoint(lab, "start") as made:
        old = made.create()
        with lab.load(made.name) as load:
            bad = made.deploy(UNSTARTABLE, LONG)
            found = made.settled()
            assert found["config"] == old
            assert found["last"]["reason"]
        assert load.seen().failed == 0
        assert bad not in load.seen().served


def abort(lab: Lab) -> None:
    """Abort in a canary brings all traffic back."""
    with endpoint(lab, "abort") as made:
        old = made.create()
        with lab.load(made.name) as load:
            made.deploy(BETTER, LONG)
            made.share(50)
            made.command("abort")
            assert made.settled()["config"] == old
        assert load.seen().failed == 0


def pause_across_restart(lab: Lab) -> None:
    """A paused rollout stays paused when the controller is killed and starts again, then goes on."""
    with endpoint(lab, "pause") as made:
        made.create()
        with lab.load(made.name) as load:
            new = made.deploy(BETTER, CANARY)
            made.share(50)
            made.command("pause")
            lab.platform.kill_controller()
            lab.platform.start()
            found = made.until("seen again", lambda found: found and found["rollout"])
            assert found["rollout"]["paused"] is not None
            made.command("resume")
            assert made.settled()["config"] == new
        assert load.seen().failed == 0


def supersede(lab: Lab) -> None:
    """A deployment that supersedes another ends on its own version."""
    with endpoint(lab, "supersede") as made:
        made.create()
        with lab.load(made.name) as load:
            made.deploy(FAILING, {**LONG, "alarms": []})
            with pytest.raises(ServerError):
                made.deploy(BETTER, CANARY)
            newest = made.deploy(BETTER, CANARY, supersede=True)
            found = made.until("the newest version", lambda found: found and found["rollout"] is None)
            assert found["config"] == newest, found
        assert load.seen().served.get(newest, 0) > 0


def scale_in_mid_rollout(lab: Lab) -> None:
    """A higher minimum in the middle of a rollout is in force when it has ended, and no request is lost."""
    scaled = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    with endpoint(lab, "scale", instances=1) as made:
        made.create()
        autoscaling = Scene(lab.platform).client("application-autoscaling")
        scaled["ResourceId"] = f"endpoint/{made.name}/variant/AllTraffic"
        autoscaling.register_scalable_target(**scaled, MinCapacity=1, MaxCapacity=3)
        with lab.load(made.name) as load:
            new = made.deploy(BETTER, CANARY)
            made.share(50)
            autoscaling.register_scalable_target(**scaled, MinCapacity=2, MaxCapacity=3)
            assert made.settled()["config"] == new
            made.until(
                "two instances",
                lambda found: [fleet["ready"] for fleet in found["fleets"] if fleet["config"] == new] == [2],
            )
        assert load.seen().failed == 0


def api_away(lab: Lab) -> None:
    """While the target's API is away the traffic stays where it was, and the rollout goes on afterwards."""
    with endpoint(lab, "away") as made:
        made.create()
        with lab.load(made.name) as load:
            new = made.deploy(BETTER, CANARY)
            made.share(50)
            with lab.away():
                before = load.seen()
                made.until("answers meanwhile", lambda _: load.seen().sent >= before.sent + 300)
            assert made.settled()["config"] == new
        assert load.seen().failed == 0


def delete(lab: Lab) -> None:
    """A deleted endpoint leaves nothing on the target."""
    with endpoint(lab, "delete") as made:
        made.create()
        assert lab.left(made.name)
        made.server.delete(made.name, "conformance", force=False)
        made.until("gone", lambda found: not found)
        made.until("nothing is left on the target", lambda _: not lab.left(made.name))


SCENARIOS: Mapping[str, Callable[[Lab], None]] = {
    "deploy": deploy,
    **{f"{name} to success": lambda lab, name=name: forward(lab, name) for name in STRATEGIES},  # type: ignore[misc]
    "rollback by error alarm": roll_back_on_errors,
    "rollback by latency alarm": roll_back_on_latency,
    "rollback by failed start": roll_back_on_failed_start,
    "abort": abort,
    "pause across a controller restart": pause_across_restart,
    "superseded": supersede,
    "scale in mid-rollout": scale_in_mid_rollout,
    "API away in mid-rollout": api_away,
    "delete": delete,
}
"""Row of the table -> scenario."""
