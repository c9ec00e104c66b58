"""``tidegate demo``: its judge cannot be fooled, and it says what it needs."""

import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from tidegate.features.examples.demo.cloud import EndpointState
from tidegate.features.examples.demo.command import PACKAGES
from tidegate.features.examples.demo.story import (
    RELEASES,
    DemoResult,
    ReleaseOutcome,
    check,
    document,
    print_result,
)
from tidegate.features.examples.demo.view import DemoView, describe
from tidegate.load import FailedRequest, LoadReport, Second, Tally

SERVES = EndpointState("InService", "better", None, "", 0.0, "")


def good_result() -> DemoResult:
    reasons = {
        "better": "",
        "failing": "alarm(s) [failing-errors] in ALARM",
        "slow": "alarm(s) [slow-p99] in ALARM",
    }
    outcomes = [
        ReleaseOutcome(release, replace(SERVES, reason=reasons[release.name]), 9.0) for release in RELEASES
    ]
    second = Second(1)
    for name in ("v1", "better", "failing", "slow"):
        second.by_config[name] = Tally()
        second.by_config[name].add(1.0, "200", 0.01)
    second.by_config["failing"].add(1.5, "424", 0.01)
    report = LoadReport((second,), (FailedRequest(1.5, "424", "flaw", "failing", 0.01),), 5, 0)
    return DemoResult(tuple(outcomes), report)


def test_the_story_as_it_should_be_has_no_problems() -> None:
    assert check(good_result()) == []


def test_whatever_is_not_as_it_should_be_is_found() -> None:
    seen = good_result()
    first, *others, last = seen.outcomes
    unfinished = replace(first, state=replace(first.state, config="v1"))
    assert check(replace(seen, outcomes=(unfinished, *others, last))) == [
        "after better: v1 is InService, not better InService"
    ]
    wrong_alarm = replace(last, state=replace(last.state, reason="alarm(s) [slow-errors]"))
    assert len(check(replace(seen, outcomes=(first, *others, wrong_alarm)))) == 1
    assert check(replace(seen, left=("4711 haproxy",))) == ["left running: 4711 haproxy"]
    report = seen.report
    assert "1 unanswered" in check(replace(seen, report=replace(report, unanswered=1)))[0]
    for bad in (
        FailedRequest(1, "503", "", "", 0.1),
        FailedRequest(1, "424", "", "better", 0.1),
        FailedRequest(1, "socket", "", "", 0),
    ):
        found = check(replace(seen, report=replace(report, failures=(*report.failures, bad))))
        assert any(f"failed with {bad.status}" in problem for problem in found)
    assert "the failing version never failed" in check(replace(seen, report=replace(report, failures=())))


def test_the_result_says_how_each_rollout_ended() -> None:
    seen, screen = good_result(), Console(width=80)
    with screen.capture() as printed:
        print_result(screen, seen)
    lines = [line.split() for line in printed.get().splitlines()]
    assert ["better", "serves", "1", "20.0%", "0", "9.9", "ms"] in lines
    assert ["slow", "rolled", "back:", "p99", "1", "20.0%", "0", "9.9", "ms", "0.0", "s"] in lines
    told = document(seen, ["a problem"])
    assert told["problems"] == ["a problem"]
    rollouts = told["rollouts"]
    assert isinstance(rollouts, list)
    assert [(one["version"], one["serves"]) for one in rollouts] == [
        (release.name, "better") for release in RELEASES
    ]


def test_where_there_is_no_terminal_each_change_is_said_once() -> None:
    screen = Console(width=80, force_terminal=False)
    updating = replace(SERVES, status="Updating", pending="slow", share=0.25)
    with screen.capture() as printed, DemoView(screen) as view:
        for state, alarm in ((SERVES, "OK"), (updating, "OK"), (updating, "OK"), (updating, "ALARM")):
            view.update("slow", state, {"slow-p99": alarm}, LoadReport((), (), 0, 0))
    said = [line.split("  ")[-1].strip() for line in printed.get().splitlines()]
    assert said == ["25 % of the requests go to slow", "alarm slow-p99 fires"]
    assert describe(SERVES, {}) == ()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_is_missing_is_named_in_one_line(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from tidegate.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "demo"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"tidegate: the demo needs a package that is not installed ({package}): pip install 'tidegate[demo]'\n"
    )
