"""Shadow variants with real parts: what is copied, what is kept, and that nothing of it reaches a client."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scene import Scene, canary
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = pytest.mark.e2e
STAND_IN = "test/stand-in"
ROWS = [[number / 10, 0.2, 0.3, 0.4] for number in range(10)]
HOUR = timedelta(hours=1)


def pairs(platform: Platform, endpoint: str, which: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    generations = sorted(Path(platform.state, "shadow", endpoint).glob("*"), key=lambda path: int(path.name))
    for path in (path for folder in generations[which - 1 : which] for path in folder.glob("*/*.jsonl")):
        whole = path.read_text().rpartition("\n")[0]  # the last line may be just being written
        found += [json.loads(line) for line in whole.splitlines()]
    return found


def answers(scene: Scene, endpoint: str, count: int = 10) -> list[str]:
    return [answer(scene, endpoint, ROWS[number % 10]) for number in range(count)]


def answer(scene: Scene, endpoint: str, row: Sequence[float], **members: Any) -> str:
    got = scene.invoke(endpoint, [row], **members)
    assert got["InvokedProductionVariant"] == "AllTraffic"
    text: str = got["Body"].read().decode()
    return text


def weigh(scene: Scene, endpoint: str, weight: float) -> None:
    wish = [{"VariantName": "shadow", "DesiredWeight": weight}]
    scene.sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=wish)
    scene.settled(endpoint)


def everything_is_copied(platform: Platform, scene: Scene, endpoint: str) -> None:
    """Returns when a request that is asked now has its pair: all that were copied before have theirs."""
    weigh(scene, endpoint, 1.0)

    def copied() -> bool:
        answer(scene, endpoint, ROWS[0], InferenceId="marker")
        return any(pair["inference_id"] == "marker" for pair in pairs(platform, endpoint))

    wait_until(copied, "a copy of everything")


def test_a_request_in_a_session_is_not_copied(platform: Platform, scene: Scene) -> None:
    environment = {"STATEFUL": "1"}
    beside = {"ModelName": scene.model(None, image=STAND_IN, environment=environment), "InitialVariantWeight": 1.0}
    scene.create("chat", scene.config(None, image=STAND_IN, environment=environment, shadow=beside))

    def ask(id: str, session: str | None = None) -> dict[str, Any]:
        more = {} if session is None else {"SessionId": session}
        body = json.dumps({"add": 1, "until": 10**10})
        said: dict[str, Any] = scene.runtime.invoke_endpoint(
            EndpointName="chat", Body=body, InferenceId=id, **more
        )
        return said

    def copied() -> bool:
        ask("marker")
        return any(pair["inference_id"] == "marker" for pair in pairs(platform, "chat"))

    session = ask("session", "NEW_SESSION")["NewSessionId"].partition(";")[0]
    ask("session", session)
    wait_until(copied, "a copy")
    assert {pair["inference_id"] for pair in pairs(platform, "chat")} == {"marker"}


@pytest.mark.parametrize("share", [0.2, 0.07, 1.0])
def test_the_share_is_copied_and_both_answers_are_kept(
    platform: Platform, scene: Scene, models: tuple[str, str], share: float
) -> None:
    endpoint = f"share-{share * 100:g}"
    beside = {"ModelName": scene.model(models[1]), "InitialVariantWeight": share * 3}
    config = scene.config(models[0], shadow=beside, variant={"InitialVariantWeight": 3.0})
    scene.create(endpoint, config)
    assert scene.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ShadowProductionVariants"][0] == {
        "VariantName": "shadow",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.c5.large",
        **beside,
    }
    said = answers(scene, endpoint, 100)
    everything_is_copied(platform, scene, endpoint)
    kept = [pair for pair in pairs(platform, endpoint) if pair["inference_id"] != "marker"]
    assert abs(len(kept) - 100 * share) <= 1
    for pair in kept:
        assert pair["original"]["status"] == pair["shadow"]["status"] == 200
        assert pair["original"]["body"]["text"] in said
        assert pair["shadow"]["body"]["text"] not in said, "no answer of the shadow is returned"
        mine, its = float(pair["original"]["body"]["text"]), float(pair["shadow"]["body"]["text"])
        assert pair["comparison"]["agrees"] is False
        assert pair["comparison"]["mean"] == pytest.approx(abs(mine - its), abs=1e-9)
        assert pair["original"]["latency_us"] > 0 and pair["shadow"]["latency_us"] > 0


def test_a_shadow_is_described_counted_and_out_of_reach(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    scene.create("seen", scene.config(models[0], shadow={"ModelName": scene.model(models[0])}))
    described = scene.describe("seen")
    assert [v["VariantName"] for v in described["ProductionVariants"]] == ["AllTraffic"]
    [shadow] = described["ShadowProductionVariants"]
    assert (shadow["VariantName"], shadow["CurrentInstanceCount"], shadow["CurrentWeight"]) == ("shadow", 1, 1.0)
    with pytest.raises(scene.runtime.exceptions.ClientError, match=r"Variant shadow of endpoint seen .*not found"):
        scene.invoke("seen", ROWS, TargetVariant="shadow")
    answers(scene, "seen")

    def total(variant: str, metric: str, statistic: str = "Sum") -> float:
        dimensions = [{"Name": "EndpointName", "Value": "seen"}, {"Name": "VariantName", "Value": variant}]
        now = datetime.now(UTC)
        points = scene.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - HOUR,
            EndTime=now + HOUR,
            Period=7200,
            Statistics=[statistic],
        )["Datapoints"]
        return sum(float(point[statistic]) for point in points)

    wait_until(lambda: total("shadow", "Invocations") == 10, "its requests are counted under its own name")
    wait_until(lambda: total("AllTraffic", "MirrorAgreement") == 10, "the same model agrees every time")
    assert total("AllTraffic", "Invocations") == total("AllTraffic", "MirrorCopies") == 10
    assert total("AllTraffic", "MirrorDifference", "Maximum") == 0
    asked = [sys.executable, "-m", "tidegate.cli", "shadow", "seen", "--json"]
    told = subprocess.run(
        asked, env={**os.environ, "TIDEGATE_URL": platform.url}, capture_output=True, check=True, text=True
    )
    [one] = json.loads(told.stdout)["comparisons"]
    assert (one["share"], one["copies"], one["agreement"], one["mean_difference"]) == (100, 10, 1, 0)
    assert one["original"]["requests"] == one["copied"]["requests"] == 10
    assert one["original"]["p99_ms"] > 0 and one["copied"]["p99_ms"] > 0


@pytest.mark.parametrize(
    "trouble", [{"DELAY_MS": "120000"}, {"FAIL_EVERY": "1"}, {}], ids=["hangs", "answers 500", "is killed"]
)
def test_nothing_that_a_shadow_does_reaches_a_client(
    platform: Platform, scene: Scene, models: tuple[str, str], trouble: dict[str, str]
) -> None:
    endpoint = f"trouble-{next(iter(trouble), 'killed').lower().replace('_', '-')}"
    scene.create(f"{endpoint}-alone", scene.config(models[0]))
    alone = answers(scene, f"{endpoint}-alone")
    bad = scene.model(None, image=STAND_IN, environment=trouble)
    scene.create(endpoint, scene.config(models[0], shadow={"ModelName": bad}))
    path = f"/endpoints/{endpoint}/invocations"
    row, csv = b"0.1,0.2,0.3,0.4", {"Content-Type": "text/csv"}
    with LoadGenerator(platform.url, path, row, csv, 100, connections=8) as running:
        wait_until(lambda: running.snapshot().total.count > 100, "requests")
        if not trouble:
            victims = [p.pid for p in platform.workers(endpoint, "shadow*").values()]
            assert victims
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: running.snapshot().total.count > 300, "requests without a shadow")
        assert answers(scene, endpoint) == alone
        report = running.stop()
    assert report.failed == 0, report.failures[:3]
    assert {variant for second in report.seconds for variant in second.by_variant} == {"AllTraffic"}
    assert scene.describe(endpoint)["EndpointStatus"] == "InService"
    if "FAIL_EVERY" in trouble:
        wait_until(lambda: pairs(platform, endpoint), "failures are kept, too")
        assert {pair["shadow"]["status"] for pair in pairs(platform, endpoint)} == {500}


def test_a_shadow_that_does_not_come_up_fails_the_deployment_before_any_traffic(
    scene: Scene, models: tuple[str, str]
) -> None:
    good = scene.config(models[0])
    scene.create("broken-shadow", good)
    broken = scene.model(None, image=STAND_IN, environment={"CRASH": "1"})
    scene.update("broken-shadow", scene.config(models[1], shadow={"ModelName": broken}))
    settled = scene.settled("broken-shadow")
    assert settled["EndpointConfigName"] == good
    assert "variant shadow" in settled["FailureReason"]
    assert "ShadowProductionVariants" not in settled


def test_in_a_canary_each_version_is_copied_to_its_own_shadow(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    scene.create("canary-shadow", scene.config(models[0], shadow={"ModelName": scene.model(models[1])}))
    new = scene.config(models[1], shadow={"ModelName": scene.model(models[0])})
    path = "/endpoints/canary-shadow/invocations"
    row, csv = b"0.1,0.2,0.3,0.4", {"Content-Type": "text/csv"}
    with LoadGenerator(platform.url, path, row, csv, 100, connections=8) as running:
        scene.update("canary-shadow", new, canary(50, 3))
        pending = wait_until(
            lambda: scene.describe("canary-shadow").get("PendingDeploymentSummary"), "it is pending"
        )
        assert pending["ShadowProductionVariants"][0]["VariantName"] == "shadow"
        wait_until(lambda: pairs(platform, "canary-shadow", 2), "the new version's requests are copied")
        assert scene.settled("canary-shadow")["EndpointConfigName"] == new
        report = running.stop()
    assert report.failed == 0, report.failures[:3]
    first, second = (
        {(pair["original"]["body"]["text"], pair["shadow"]["body"]["text"]) for pair in pairs(platform, *one)}
        for one in (("canary-shadow", 1), ("canary-shadow", 2))
    )
    assert len(first) == len(second) == 1, "one version through both"
    assert {original for original, _ in first} == {shadow for _, shadow in second}
    generation = max(int(path.name) for path in Path(platform.state, "shadow", "canary-shadow").iterdir())
    new_ones = {f"{generation}/AllTraffic", f"{generation}/shadow"}
    wait_until(
        lambda: left(platform, "canary-shadow") == new_ones, "the old fleets are gone, the shadow's too", 20
    )


def left(platform: Platform, endpoint: str) -> set[str]:
    folder = Path(platform.state, "fleets", endpoint)
    return {str(path.parent.relative_to(folder)) for path in folder.glob("*/*/fleet.json")}
