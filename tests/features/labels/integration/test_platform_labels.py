"""Late labels with real parts: posted by id, joined with captures, an alarm on what they say turns a rollout back."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.features.capture.integration.test_platform_capture import capture
from tests.fixtures import STAND_IN, images
from tests.scene import Scene, canary
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e
ROWS = [[sign * 0.1 * place, 0.2, 0.3, 0.4] for place in range(1, 10) for sign in (1, -1)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    table = str(images(tmp_path_factory.mktemp("images")))
    given = {"TIDEGATE_CAPTURE_SECONDS": "1", "TIDEGATE_DRAIN_TIMEOUT": "5", "TIDEGATE_IMAGES": table}
    with Platform(environment=given) as running:
        yield running


def make_config(scene: Scene, url: str | None, folder: Path, **model: Any) -> str:
    name = scene.model(url, **model)
    variant = {"VariantName": "blue", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant], DataCaptureConfig=capture(folder.as_uri())
    )
    return name


def post(platform: Platform, labels: list[dict[str, Any]], **more: Any) -> httpx.Response:
    url = f"{platform.url}/tidegate/v1/endpoints/labelled/labels"
    return httpx.post(url, json={"labels": labels, **more}, timeout=30)


def known(platform: Platform, endpoint: str = "labelled") -> dict[str, Any]:
    answer = httpx.get(f"{platform.url}/tidegate/v1/endpoints/{endpoint}/labels")
    found: dict[str, Any] = answer.json() if answer.status_code == 200 else {"versions": []}
    return found


def of_version(platform: Platform, config: str) -> dict[str, Any] | None:
    return next((one for one in known(platform)["versions"] if one["config"] == config), None)


class Client(threading.Thread):
    """Asks with an id, and remembers which version answered and with what."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(daemon=True)
        self.scene, self.stopping = scene, threading.Event()
        self.answers: dict[str, tuple[str, float]] = {}
        """By id: config and score."""

    def run(self) -> None:
        for number in itertools.count():
            if self.stopping.wait(0.002):
                return
            row = ROWS[number % len(ROWS)]
            got = self.scene.invoke("labelled", [row], InferenceId=f"id-{number}")
            config = got["ResponseMetadata"]["HTTPHeaders"]["x-tidegate-config"]
            self.answers[f"id-{number}"] = (config, float(got["Body"].read()))


def test_labels_measure_each_version_and_an_alarm_on_them_turns_the_rollout_back(
    platform: Platform, scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    folder = platform.state / "outputs" / "labelled"
    old = make_config(scene, models[0], folder)
    scene.create("labelled", old)
    scene.settled("labelled")
    assert post(platform, [{"id": "never-asked", "label": 1}]).json() == {"received": 1, "outcomes": {}}
    assert post(platform, [{"id": "never-asked", "label": 1}]).json()["outcomes"] == {"repeated": 1}
    new = make_config(scene, models[1], folder)
    named = {"EndpointName": "labelled", "VariantName": "blue", "EndpointConfigName": new}
    scene.cloudwatch.put_metric_alarm(
        AlarmName="auc",
        Namespace="tidegate/Labels",
        MetricName="AUC",
        Dimensions=[{"Name": name, "Value": value} for name, value in named.items()],
        Statistic="Minimum",
        Period=10,
        EvaluationPeriods=1,
        Threshold=0.6,
        ComparisonOperator="LessThanThreshold",
        TreatMissingData="notBreaching",
    )
    client = Client(scene)
    client.start()
    scene.update("labelled", new, canary(50, 600, alarms=["auc"]))

    def answered(config: str) -> int:
        return sum(one == config for one, _ in list(client.answers.values()))

    wait_until(lambda: answered(new) > 500 and answered(old) > 500, "answers of both versions", 90)
    # What was true is what the old version says, and the opposite of what the new one does.
    labels = [
        {"id": id, "label": int((score > 0.5) == (config == old)), "at": datetime.now(UTC).isoformat()}
        for id, (config, score) in list(client.answers.items())
    ]
    assert post(platform, labels).json()["outcomes"] == {}
    ended = scene.settled("labelled")
    client.stopping.set()
    assert ended["EndpointConfigName"] == old and "auc" in ended["FailureReason"]
    found = wait_until(lambda: of_version(platform, new), "what is known of the new version")
    assert found["quality"]["auc"] < 0.2 and found["coverage"]["labelled"] > 200
    before = of_version(platform, old)
    assert before is not None and before["quality"]["auc"] > 0.8
    assert known(platform)["labels"]["unknown id"] >= 1
    shown = tidegate(platform, "labels", "measure", "labelled")
    assert shown.returncode == 0 and new in shown.stdout and "evidence" in shown.stdout, shown
    lines = tmp_path / "labels.jsonl"
    about = {"eventId": labels[0]["id"], "labelTime": labels[0]["at"]}
    lines.write_text(json.dumps({"groundTruthData": {"data": str(labels[0]["label"])}, "eventMetadata": about}))
    sent = tidegate(platform, "labels", "measure", "labelled", str(lines), "--post")
    assert sent.stdout == "1 labels are kept for endpoint labelled (1 repeated)\n", sent


def test_thumbs_on_streamed_answers_find_their_version(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    folder = platform.state / "outputs" / "chat"
    config = make_config(scene, None, folder, image=STAND_IN, environment={"TALK": "well"})
    scene.create("chat", config)
    scene.settled("chat")
    for number in range(4):
        answer = scene.runtime.invoke_endpoint_with_response_stream(
            EndpointName="chat", Body=b"{}", ContentType="application/json", InferenceId=f"chat-{number}"
        )
        assert b"word" in b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    url = f"{platform.url}/tidegate/v1/endpoints/chat/labels"
    thumbs = [{"id": f"chat-{number}", "label": "up" if number else "down"} for number in range(4)]
    sent = httpx.post(url, json={"labels": [*thumbs, {"id": "nobody", "label": "up"}], "kind": "feedback"})
    assert sent.json() == {"received": 5, "outcomes": {}}

    def joined() -> dict[str, Any] | None:
        found: dict[str, Any] = httpx.get(url).json()
        return found if found["labels"].get("joined") == 4 else None

    found = wait_until(joined, "thumbs that found their answers")
    (version,) = found["versions"]
    assert (version["config"], version["quality"]) == (config, {"pairs": 4, "approval": 0.75, "mean": 0.75})
    assert found["labels"]["unknown id"] == 1
    written = b"".join(path.read_bytes() for path in folder.rglob("*.jsonl"))
    assert b'"chat-3"' in written
    assert "75.0%" in tidegate(platform, "labels", "feedback", "chat").stdout
    votes = tmp_path / "votes.jsonl"
    votes.write_text('{"id": "chat-3", "label": true}')
    again = tidegate(platform, "labels", "feedback", "chat", str(votes))
    assert again.stdout == "1 votes are kept for endpoint chat (1 repeated)\n", again

    refused = httpx.post(url, json={"labels": [{"id": "chat-0", "label": 1}], "kind": "classes"})
    assert (refused.status_code, known(platform, "chat")["labels"]["joined"]) == (409, 4)
    assert "an operator may change it" in refused.text
    changed = tidegate(platform, "labels", "terms", "chat", "--kind", "amounts", "--reason", "they are minutes")
    expected = "endpoint chat: labels are amounts; scores are read from answers that are one number\n"
    assert changed.stdout == expected, changed
    audit = tidegate(platform, "access", "audit", "--about", "chat").stdout.splitlines()[-1]
    assert "they are minutes" in audit and "labels are feedback" in audit and "labels are amounts" in audit


def test_what_is_no_request_is_refused_and_an_endpoint_without_labels_says_so(
    platform: Platform, scene: Scene
) -> None:
    url = f"{platform.url}/tidegate/v1/endpoints"
    assert httpx.post(f"{url}/nobody/labels", json={"labels": [{"id": "a", "label": 1}]}).status_code == 404
    assert httpx.get(f"{url}/nobody/labels").status_code == 404
    for body in ({}, {"labels": 1}, {"labels": [], "kind": "sort"}, {"labels": [], "score": "a..b"}):
        assert httpx.post(f"{url}/labelled/labels", json=body).status_code == 400


def tidegate(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "", "TIDEGATE_URL": platform.url, "COLUMNS": "200"}
    command = [sys.executable, "-m", "tidegate.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
