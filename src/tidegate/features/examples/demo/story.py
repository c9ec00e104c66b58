"""The demo's story: a better version, one that fails and one that is slow, each rolled out under live load.

Everything goes through plain boto3 and the one port. ``check`` says what must be true in the end: the better version
serves, both bad ones were rolled back, no request failed but those that the failing version itself failed, and
nothing is left running.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from tidegate.cli.tables import Table, key, number
from tidegate.domain.errors import Unavailable
from tidegate.features.examples import fraud
from tidegate.features.examples.demo.cloud import (
    ENDPOINT,
    FLAWED,
    XGBOOST,
    DemoClient,
    EndpointState,
    canary,
    linear,
)
from tidegate.features.examples.demo.private_server import run_server
from tidegate.features.examples.demo.view import DemoView, milliseconds
from tidegate.load import LoadGenerator, LoadReport, Tally
from tidegate.load.report import document as describe_load

FIRST = "v1"
RATE = 150.0
"""Requests per second, all through the demo."""
WAIT = 5
"""Seconds of each bake of the better version; the bad ones get BAD_WAIT so that the alarm decides, not the clock."""
BAD_WAIT = 20
SETTLE = 2.0
DEADLINE = 90.0
"""Seconds that one rollout may take."""


@dataclass(frozen=True)
class DemoRelease:
    """One rollout and what must come of it: ``alarm`` None means that it is to finish. ``model`` names the trained
    version whose model data it serves."""

    name: str
    title: str
    policy: Mapping[str, Any]
    alarm: str | None = None
    model: str = "better"
    image: str = XGBOOST
    environment: Mapping[str, str] | None = None


RELEASES = (
    DemoRelease("better", "a better version, in steps of 25 %", linear(25, WAIT)),
    DemoRelease(
        "failing",
        "a version that fails on 5 % of its requests, as a canary",
        canary(25, BAD_WAIT),
        "errors",
        image=FLAWED,
        environment={"FAIL_RATE": "0.05"},
    ),
    DemoRelease(
        "slow",
        "a version that takes 400 ms for each answer, in steps of 25 %",
        linear(25, BAD_WAIT),
        "p99",
        image=FLAWED,
        environment={"DELAY_MS": "400"},
    ),
)


@dataclass(frozen=True)
class ReleaseOutcome:
    """``seconds``: from the call that began the rollout to its end."""

    release: DemoRelease
    state: EndpointState
    seconds: float


@dataclass(frozen=True)
class DemoResult:
    """``left``: processes that still ran after the server had stopped, and had to be killed."""

    outcomes: tuple[ReleaseOutcome, ...]
    report: LoadReport
    left: tuple[str, ...] = ()


def run(console: Console) -> DemoResult:
    """The whole story. Raises Unavailable if it could not be told to its end."""
    try:
        with (
            DemoView(console) as view,
            tempfile.TemporaryDirectory(prefix="tidegate-demo-", ignore_cleanup_errors=True) as folder,
        ):
            return _run(view, Path(folder))
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"the demo could not go on: {error}") from error


def _run(view: DemoView, folder: Path) -> DemoResult:
    view.say("training a fraud model and a better version of it")
    trained = fraud.build(folder / "models", scale=1)
    measured = (f"{name} {trained.versions[name].quality['AUC']:.3f}" for name in (FIRST, "better"))
    view.say(f"AUC on two later months: {', '.join(measured)}")
    with run_server(folder / "state") as server:
        view.say(f"tidegate is up at {server.url}; the rest is plain boto3")
        cloud = DemoClient(server.url)
        view.say(f"deploying the first version, {FIRST}")
        cloud.register(FIRST, XGBOOST, folder / "models" / f"{FIRST}.ubj", {})
        for release in RELEASES:
            data = folder / "models" / f"{release.model}.ubj"
            cloud.register(release.name, release.image, data, release.environment or {})
        cloud.create(FIRST)
        bodies = [request.body.encode() for request in trained.requests]
        path = f"/endpoints/{ENDPOINT}/invocations"
        with LoadGenerator(server.url, path, bodies, {"Content-Type": "text/csv"}, RATE, connections=64) as load:
            view.say(f"{RATE:.0f} requests per second from now on")
            outcomes = [_roll_out(cloud, release, view, load.snapshot) for release in RELEASES]
            time.sleep(SETTLE)
        report = load.stop()
        view.say("draining and stopping")
    return DemoResult(tuple(outcomes), report, tuple(server.left))


def _roll_out(
    cloud: DemoClient, release: DemoRelease, view: DemoView, snapshot: Callable[[], LoadReport]
) -> ReleaseOutcome:
    began = time.monotonic()
    view.say(release.title, "bold")
    alarms = cloud.guard(release.name)
    cloud.update(release.name, release.policy, alarms)
    while True:
        state = cloud.describe()
        view.update(release.title, state, cloud.alarm_states(alarms), snapshot())
        took = time.monotonic() - began
        if state.status not in ("Updating", "RollingBack") or took > DEADLINE:
            break
        time.sleep(0.25)
    if state.config == release.name:
        view.say(f"{state.config} serves, after {took:.1f} s", "bold")
    else:
        view.say(f"{release.name} was rolled back, after {took:.1f} s; {state.config} serves", "bold")
    if state.reason:
        view.say(state.reason)
    return ReleaseOutcome(release, state, took)


def check(seen: DemoResult) -> list[str]:
    """Everything that must be true; returns what is not."""
    problems = [f"left running: {name}" for name in seen.left]
    serving, report = FIRST, seen.report
    for outcome in seen.outcomes:
        release, state = outcome.release, outcome.state
        serving = serving if release.alarm else release.name
        if (state.status, state.config) != ("InService", serving):
            problems.append(f"after {release.name}: {state.config} is {state.status}, not {serving} InService")
        if release.alarm and f"{release.name}-{release.alarm}" not in state.reason:
            problems.append(f"{release.name} was not rolled back by its {release.alarm} alarm: {state.reason!r}")
        if not report.by_config.get(release.name, Tally()).count:
            problems.append(f"no request reached {release.name}")
    strange = [one for one in report.failures if (one.config, one.status) != ("failing", "424")]
    for one in strange[:5]:
        problems.append(f"a request failed with {one.status} on {one.config or 'no version'}: {one.message}")
    if len(strange) > 5:
        problems.append(f"and {len(strange) - 5} more failed requests")
    if report.failed != len(report.failures) or report.unanswered:
        problems.append(f"{report.failed} failed, {report.unanswered} unanswered of {report.sent}")
    if not report.failures:
        problems.append("the failing version never failed")
    return problems


def print_result(console: Console, seen: DemoResult) -> None:
    """Print what the clients of the endpoint saw of each version."""
    report = seen.report
    table = Table(
        *(key("VERSION"), key("ENDED AS"), number("REQUESTS"), number("SHARE"), number("FAILED")),
        *(number("P99"), number("SERVED FOR")),
    )
    for outcome in seen.outcomes:
        release = outcome.release
        tally = report.by_config.get(release.name, Tally())
        table.add_row(
            release.name,
            f"rolled back: {release.alarm}" if outcome.state.config != release.name else "serves",
            f"{tally.count:,}",
            f"{tally.count / max(1, report.sent):.1%}",
            f"{tally.failed:,}",
            milliseconds(tally.percentile(99)),
            f"{tally.last - tally.first:.1f} s" if release.alarm and tally.count else "",
        )
    console.print()
    console.print(table)
    others = report.failed - report.by_config.get("failing", Tally()).failed
    console.print(f"\n{report.sent:,} requests were sent; {others} failed on other versions.")


def document(seen: DemoResult, problems: list[str]) -> dict[str, object]:
    """The result for programs."""
    rollouts = [
        {
            "version": outcome.release.name,
            "serves": outcome.state.config,
            "reason": outcome.state.reason or None,
            "seconds": round(outcome.seconds, 1),
        }
        for outcome in seen.outcomes
    ]
    return {"problems": problems, "rollouts": rollouts, "load": describe_load(seen.report)}
