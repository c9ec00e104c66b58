"""``make demo``: a good release, one that fails and one that is slow, on live load.

Everything goes through plain boto3 and the one port. The exit status is 0 only if every outcome is as it should
be: the good release is out, both bad ones are back, no request failed but those that the failing version itself
failed, and nothing is left running.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from demo import server
from demo.cloud import ENDPOINT, FLAWED, XGBOOST, Cloud, Standing, canary, linear
from demo.train import Trial, train
from demo.view import View
from tidegate.domain.errors import TidegateError
from tidegate.load import LoadGenerator, LoadReport, Tally

RATE = 150.0
"""Requests per second, all through the demo."""
WAIT = 5
"""Seconds of each bake of the good release; the bad ones get BAD_WAIT so that the alarm decides, not the clock."""
BAD_WAIT = 20
SETTLE = 2.0
DEADLINE = 90.0
"""Seconds that one update may take."""


@dataclass(frozen=True)
class Release:
    """One update and what must come of it: ``alarm`` None means that it is to finish."""

    name: str
    title: str
    policy: dict[str, Any]
    alarm: str | None
    image: str
    environment: dict[str, str]


RELEASES = (
    Release("better", "linear to a better model", linear(25, WAIT), None, XGBOOST, {}),
    Release(
        "fails",
        "canary to a version that fails on 5 % of requests",
        canary(25, BAD_WAIT),
        "errors",
        FLAWED,
        {"FAIL_RATE": "0.05"},
    ),
    Release("slow", "linear to a version that is slow", linear(25, BAD_WAIT), "p99", FLAWED, {"DELAY_MS": "400"}),
)


@dataclass(frozen=True)
class Outcome:
    release: Release
    standing: Standing
    seconds: float


def main() -> int:
    signal.signal(signal.SIGTERM, _terminated)
    console = Console(highlight=False, markup=False, emoji=False)
    began = time.monotonic()
    try:
        problems = demonstrate(console)
    except KeyboardInterrupt:
        console.print("\nstopped; nothing is left running")
        return 130
    except (subprocess.SubprocessError, BotoCoreError, ClientError, TidegateError) as error:
        console.print(f"the demo could not go on: {error}", style="bold red")
        return 1
    took = time.monotonic() - began
    for problem in problems:
        console.print(f"NOT AS IT SHOULD BE: {problem}", style="bold red")
    if not problems:
        console.print(f"All as it should be, in {took:.0f} s. Nothing is left running.", style="bold green")
    return 1 if problems else 0


def demonstrate(console: Console) -> list[str]:
    """The whole story; returns what did not come out as it should."""
    with View(console) as view:
        view.say("training four versions of a payroll fraud model on a year of synthetic payments")
        trial = train()
        for model in trial.models:
            view.say(
                f"  {model.recipe.name:8} AUC {model.auc:.3f} on two later months (oracle {trial.oracle:.3f})"
            )
        with server.running() as running:
            view.say(f"tidegate is up at {running.url}; from here on it is plain boto3 with endpoint_url")
            cloud = Cloud(running.url)
            _deploy_first(cloud, trial, view)
            bodies = trial.traffic
            path = f"/endpoints/{ENDPOINT}/invocations"
            with LoadGenerator(
                running.url, path, bodies, {"Content-Type": "text/csv"}, RATE, connections=64
            ) as load:
                view.say(f"{RATE:.0f} requests per second from now on")
                outcomes = [_update(cloud, release, view, load.snapshot) for release in RELEASES]
                time.sleep(SETTLE)
            report = load.stop()
            view.say("draining and stopping")
    console.print(_table(outcomes, report))
    return [*check(outcomes, report), *(f"left running: {name}" for name in running.left)]


def _deploy_first(cloud: Cloud, trial: Trial, view: View) -> None:
    paths = {model.recipe.name: model.path for model in trial.models}
    cloud.register("good", XGBOOST, paths["good"], {})
    for release in RELEASES:
        cloud.register(release.name, release.image, paths[release.name], release.environment)
    view.say("deploying the first version, good")
    cloud.create("good")


def _update(cloud: Cloud, release: Release, view: View, snapshot: Callable[[], LoadReport]) -> Outcome:
    began = time.monotonic()
    view.say(release.title, "bold")
    alarms = cloud.guard(release.name)
    cloud.update(release.name, release.policy, alarms)
    while True:
        standing = cloud.standing()
        view.update(release.title, standing, cloud.alarm_states(alarms), snapshot())
        took = time.monotonic() - began
        if standing.status not in ("Updating", "RollingBack") or took > DEADLINE:
            break
        time.sleep(0.25)
    ending = f"{standing.config} serves after {took:.1f} s"
    view.say(f"{ending}: {standing.reason}" if standing.reason else ending, "bold")
    return Outcome(release, standing, took)


def check(outcomes: list[Outcome], report: LoadReport) -> list[str]:
    """Everything that must be true; returns what is not."""
    problems = []
    serving = "good"
    for outcome in outcomes:
        release, standing = outcome.release, outcome.standing
        serving = serving if release.alarm else release.name
        if (standing.status, standing.config) != ("InService", serving):
            problems.append(
                f"after {release.name}: {standing.config} is {standing.status}, not {serving} InService"
            )
        if release.alarm and f"{release.name}-{release.alarm}" not in standing.reason:
            problems.append(
                f"{release.name} was not turned back by its {release.alarm} alarm: {standing.reason!r}"
            )
        if not report.by_config.get(release.name, Tally()).count:
            problems.append(f"no request reached {release.name}")
    strange = [one for one in report.failures if (one.config, one.status) != ("fails", "424")]
    for one in strange[:5]:
        problems.append(f"a request failed with {one.status} on {one.config or 'no version'}: {one.message}")
    if len(strange) > 5:
        problems.append(f"and {len(strange) - 5} more failed requests")
    if report.failed != len(report.failures) or report.unanswered:
        problems.append(f"{report.failed} failed, {report.unanswered} unanswered of {report.sent}")
    if not report.failures:
        problems.append("the failing version never failed")
    return problems


def _table(outcomes: list[Outcome], report: LoadReport) -> Table:
    table = Table(title="\nWhat the users of this endpoint saw", title_justify="left", title_style="bold")
    table.add_column("update")
    table.add_column("ended as")
    for column in ("requests it saw", "failed", "p99", "from first bad\ntraffic to rollback"):
        table.add_column(column, justify="right")
    for outcome in outcomes:
        release = outcome.release
        tally = report.by_config.get(release.name, Tally())
        p99 = tally.percentile(99)
        table.add_row(
            f"{release.policy['TrafficRoutingConfiguration']['Type'].lower()} to {release.name}",
            f"rolled back: {release.alarm}" if outcome.standing.config != release.name else "finished",
            f"{tally.count:,} ({tally.count / max(1, report.sent):.1%})",
            f"{tally.failed:,}",
            "-" if p99 is None else f"{p99 * 1000:.1f} ms",
            f"{tally.last - tally.first:.1f} s" if release.alarm and tally.count else "-",
        )
    others = report.failed - report.by_config.get("fails", Tally()).failed
    table.add_section()
    table.add_row("all of it", f"{report.sent:,} sent", f"{report.total.count:,}", f"{report.failed:,}", "", "")
    table.caption = (
        f"Failed requests are those that the failing version itself answered badly; the rest of the platform, "
        f"rollbacks included, failed {others}."
    )
    return table


def _terminated(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
