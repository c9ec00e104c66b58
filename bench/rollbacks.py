"""From an alarm's ALARM to all traffic back on the old fleet, and what the rollback itself costs in requests.

    python -m bench.rollbacks [--rollbacks 50] [--rate 200] [--keep]

A canary of half the traffic bakes; the alarm is set by SetAlarmState, the clock starts when that call has been
answered, and it stops with the last answer that the new version gives (a probe asks all the time).
"""

import argparse
import time

from bench import tables
from bench.probe import Probe
from tests.scene import Scene, canary, train
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

BODY = ",".join(["0.1"] * 30).encode()
HEADER = ["rollbacks", "p50 ms", "p99 ms", "max ms", "requests", "failed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollbacks", type=int, default=50)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with Platform() as platform:
        models = train(platform.state / "models", 1), train(platform.state / "models", 2)
        times, requests, failed = measure(Scene(platform), models, platform.url, BODY, given.rollbacks, given.rate)
    tables.show("rollbacks", "Alarm to all traffic back", HEADER, [row(times, requests, failed)], keep=given.keep)


def row(times: list[float], requests: int, failed: int) -> list[object]:
    return [len(times), *(f"{tables.percentile(times, p) * 1000:.0f}" for p in (50, 99, 100)), requests, failed]


def measure(
    scene: Scene,
    models: tuple[str, str],
    front: str,
    body: bytes,
    rollbacks: int,
    rate: float,
    *,
    endpoint: str = "bench",
    pause: float = 0.001,
) -> tuple[list[float], int, int]:
    """Seconds of each rollback, requests, and how many of these failed. ``front``: the URL of what clients ask for
    predictions; ``body``: a request; ``pause``: of the probe, in seconds."""
    alarm = f"{endpoint}-by-hand"
    scene.create(endpoint, scene.config(models[0], instances=2))
    scene.alarm(alarm, "Invocation5XXErrors", 0.5, TreatMissingData="ignore", Period=60)
    times = []
    path, headers = f"/endpoints/{endpoint}/invocations", {"Content-Type": "text/csv"}
    generator, caller = LoadGenerator(front, path, body, headers, rate), Probe(front, endpoint, body, pause)
    with generator as load, caller as probe:
        for number in range(rollbacks):
            scene.cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="begin")
            config = scene.config(models[1], instances=1)
            scene.update(endpoint, config, canary(50, 600, alarms=[alarm]))
            wait_until(lambda config=config: probe.last(config), "the canary answers", 120)  # type: ignore[misc]
            scene.cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="measure")
            rung = time.time()
            settled = scene.settled(endpoint, 240)
            assert settled["EndpointConfigName"] != config, "it was not rolled back"
            times.append(max(0.0, probe.last(config) - rung))
            print(
                f"{number + 1}/{rollbacks}: {times[-1] * 1000:.0f} ms, {load.snapshot().failed} failed", flush=True
            )
        report = load.stop()
        return times, report.total.count + len(probe.seen), report.failed + len(probe.failures())


if __name__ == "__main__":
    main()
