"""SIGKILL of the controller at random moments of a linear rollout under load; and of workers.

    python -m bench.kills [--kills 50] [--rate 200] [--seed 1] [--keep]

Every second rollout has its alarm raised while no controller runs, so that the next one must roll it back.
"""

import argparse
import os
import random
import signal
import time
from datetime import datetime

import httpx

from bench import tables
from tests.scene import Scene, linear, train
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator

BODY = ",".join(["0.1"] * 30).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows = []
    with Platform() as platform:
        rows.append(controller(platform, given.kills, given.rate, random.Random(given.seed)))
    with Platform() as platform:
        rows.append(workers(platform, given.kills, given.rate, random.Random(given.seed)))
    header = ["killed", "times", "requests", "failed", "right end"]
    tables.show("kills", "SIGKILL under load", header, rows, keep=given.keep)


def controller(platform: Platform, kills: int, rate: float, chance: random.Random) -> list[object]:
    """Each rollout gets one kill, between its start and a little after its planned end."""
    scene = Scene(platform)
    urls = [train(platform.state / "models", seed) for seed in (1, 2)]
    current = scene.config(urls[0], instances=2)
    scene.create("bench", current)
    scene.alarm("trip", "Invocation5XXErrors", 0.5, TreatMissingData="ignore")
    right = 0
    with LoadGenerator(
        platform.url, "/endpoints/bench/invocations", BODY, {"Content-Type": "text/csv"}, rate
    ) as load:
        for number in range(kills):
            scene.cloudwatch.set_alarm_state(AlarmName="trip", StateValue="OK", StateReason="begin")
            config = scene.config(urls[number % 2], instances=2)
            scene.update("bench", config, linear(25, 1, alarms=["trip"], final=1))
            time.sleep(chance.uniform(0.0, 7.0))
            bad = number % 2 == 1 and scene.describe("bench")["EndpointStatus"] == "Updating"
            rung = time.time()
            if bad:
                scene.cloudwatch.set_alarm_state(AlarmName="trip", StateValue="ALARM", StateReason="bad")
            platform.kill_controller()
            time.sleep(chance.uniform(0.0, 1.0))
            platform.start()
            settled = scene.settled("bench", 120)
            went, why = settled["EndpointConfigName"] == config, settled.get("FailureReason", "")
            # An alarm that came after the point of no return finds the update finished, which is right too.
            right += went != bad or (bad and went and passed_before(platform, config, rung))
            print(
                f"{number + 1}/{kills}: bad={bad} finished={went} failed={load.snapshot().failed} {why}",
                flush=True,
            )
        report = load.stop()
    for failure in report.failures[:20]:
        print(failure)
    return ["controller", kills, report.total.count, report.failed, f"{right}/{kills}"]


def passed_before(platform: Platform, config: str, rung: float) -> bool:
    """Whether the journal has this version past the point of no return when the alarm was set."""
    after, news = 0, True
    while news:
        url = f"{platform.url}/tidegate/v1/endpoints/bench/events?after={after}&limit=1000"
        page = httpx.get(url).json()
        for event in page["events"]:
            if "no way back" in event["message"] and config in event["message"]:
                # The call that sets the alarm takes a moment, too.
                return datetime.fromisoformat(event["at"]).timestamp() <= rung + 0.1
        after, news = page["next"], bool(page["events"])
    return False


def workers(platform: Platform, kills: int, rate: float, chance: random.Random) -> list[object]:
    scene = Scene(platform)
    scene.create("bench", scene.config(train(platform.state / "models", 1), instances=2))
    replaced = 0
    with LoadGenerator(
        platform.url, "/endpoints/bench/invocations", BODY, {"Content-Type": "text/csv"}, rate
    ) as load:
        for number in range(kills):
            pids = [process.pid for process in platform.workers().values()]
            os.kill(chance.choice(pids), signal.SIGKILL)
            time.sleep(chance.uniform(0.5, 1.5))
            scene.settled("bench")
            deadline = time.monotonic() + 30
            while scene.describe("bench")["ProductionVariants"][0]["CurrentInstanceCount"] != 2:
                assert time.monotonic() < deadline, "the worker was not replaced"
                time.sleep(0.1)
            replaced += 1
            print(f"worker {number + 1}/{kills}: failed={load.snapshot().failed}", flush=True)
        report = load.stop()
    return ["worker", kills, report.total.count, report.failed, f"{replaced}/{kills} replaced"]


if __name__ == "__main__":
    main()
