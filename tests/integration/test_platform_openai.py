"""Services that speak OpenAI's API behind a whole platform: llama.cpp's server and vLLM, with plain HTTP as OpenAI's
clients send it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.features.evidence.integration.test_platform_evidence import deploy, evidence, load_to, verdict_of
from tests.integration.openai_engines import Engine, llama_cpp, vllm
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(1800)]
HELLO = [{"role": "user", "content": "hello"}]
ENDLESS = {"messages": HELLO, "max_tokens": 6000, "ignore_eos": True}
"""Half a minute of tokens."""


@pytest.fixture(scope="module", params=[llama_cpp, vllm], ids=["llama.cpp", "vllm"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with request.param(tmp_path_factory.mktemp("engine")) as running:
        yield running


def spec(endpoint: str, url: str, **more: Any) -> dict[str, Any]:
    return {"endpoint": endpoint, "model": {"url": url, "protocol": "openai", "health": "/health"}, **more}


@pytest.fixture(scope="module")
def chat(platform: Platform, scene: Scene, engine: Engine) -> str:
    """The address of an endpoint below which OpenAI's paths lie."""
    name = f"chat-{engine.kind.replace('.', '-').lower()}"
    deploy(platform, spec(name, engine.urls[0]))
    assert scene.settled(name)["EndpointStatus"] == "InService"
    return f"{platform.url}/endpoints/{name}"


def endpoint(chat: str) -> str:
    return chat.rpartition("/")[2]


@contextmanager
def streamed(url: str, asked: dict[str, Any]) -> Iterator[Iterator[str]]:
    with httpx.stream("POST", url, json={**asked, "stream": True}, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield (line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: "))


def total(scene: Scene, chat: str, metric: str, statistic: str = "Sum") -> float:
    now = datetime.now(UTC)
    variant = {"EndpointName": endpoint(chat), "VariantName": "AllTraffic"}
    found = scene.cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in variant.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=3600,
        Statistics=[statistic],
    )["Datapoints"]
    return float(sum(point[statistic] for point in found))


def test_whole_answers_streams_and_models_by_openais_paths(chat: str, engine: Engine) -> None:
    asked = {"model": endpoint(chat), "messages": HELLO, "max_tokens": 8, "ignore_eos": True, "temperature": 0}
    whole = httpx.post(f"{chat}/v1/chat/completions", json=asked, timeout=60).json()
    assert (whole["object"], whole["model"]) == ("chat.completion", engine.names[0])
    assert whole["usage"]["completion_tokens"] == 8
    with streamed(f"{chat}/v1/chat/completions", asked) as lines:
        *events, last = lines
    assert last == "[DONE]"
    found = [json.loads(event) for event in events]
    assert all(event["choices"] for event in found)  # nobody asked for the tokens that were used
    with streamed(f"{chat}/v1/chat/completions", {**asked, "stream_options": {"include_usage": True}}) as lines:
        *_, used, _ = lines
    counts = [
        [one["usage"][name] for name in ("prompt_tokens", "completion_tokens")]
        for one in (whole, json.loads(used))
    ]
    assert counts[0] == counts[1]
    text = httpx.post(f"{chat}/v1/completions", json={"prompt": "hello", "max_tokens": 4}, timeout=60).json()
    assert text["object"] == "text_completion"
    models = httpx.get(f"{chat}/v1/models").json()
    assert [one["id"] for one in models["data"]] == [engine.names[0]]


def test_an_invocation_finds_its_path_and_an_error_is_the_servers_own(chat: str, scene: Scene) -> None:
    for asked, kind in (({"messages": HELLO}, "chat.completion"), ({"prompt": "hello"}, "text_completion")):
        answer = scene.runtime.invoke_endpoint(
            EndpointName=endpoint(chat),
            Body=json.dumps({**asked, "max_tokens": 4}),
            ContentType="application/json",
        )
        assert json.loads(answer["Body"].read())["object"] == kind
    parts = scene.runtime.invoke_endpoint_with_response_stream(
        EndpointName=endpoint(chat),
        Body=json.dumps({"messages": HELLO, "max_tokens": 4, "stream": True}),
        ContentType="application/json",
    )["Body"]
    assert b"".join(part["PayloadPart"]["Bytes"] for part in parts).endswith(b"data: [DONE]\n\n")
    wrong = httpx.post(f"{chat}/v1/chat/completions", json={"messages": "hello"}, timeout=60)
    assert 400 <= wrong.status_code < 600 and wrong.json()["error"]["message"]


def test_tokens_are_counted(engine: Engine, scene: Scene, platform: Platform) -> None:
    name = f"counted-{engine.kind.replace('.', '-').lower()}"
    deploy(platform, spec(name, engine.urls[0]))
    scene.settled(name)
    chat = f"{platform.url}/endpoints/{name}"
    asked = {"prompt": "hello", "max_tokens": 5, "ignore_eos": True}
    used = httpx.post(f"{chat}/v1/completions", json=asked, timeout=60).json()["usage"]
    with streamed(f"{chat}/v1/completions", asked) as lines:
        assert len(list(lines)) >= 2
    wanted = [2 * used["prompt_tokens"], 10]

    def counted() -> bool:
        return [total(scene, chat, metric) for metric in ("PromptTokens", "CompletionTokens")] == wanted

    wait_until(counted, "the tokens of both are counted")
    assert total(scene, chat, "FirstChunkLatency", "SampleCount") >= 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_the_generation(chat: str, engine: Engine, scene: Scene, stream: bool) -> None:
    url, failed = f"{chat}/v1/chat/completions", total(scene, chat, "InvocationModelErrors")
    with httpx.Client(timeout=60) as client:
        if stream:
            with client.stream("POST", url, json={**ENDLESS, "stream": True}) as answer:
                lines = answer.iter_lines()
                assert next(lines)
                wait_until(lambda: engine.generating() == 1, "it is generated")
                wait_until(lambda: total(scene, chat, "TokensInFlight", "Maximum") > 50, "tokens are in flight")
        else:
            with pytest.raises(httpx.ReadTimeout):  # as clients leave
                client.post(url, json=ENDLESS, timeout=2)
    wait_until(lambda: engine.generating() == 0, "nothing is generated any more", 60)
    served = httpx.post(url, json={"messages": HELLO, "max_tokens": 2}, timeout=60)
    assert served.status_code == 200
    assert total(scene, chat, "InvocationModelErrors") == failed


def test_a_canary_of_another_server_under_load_fails_no_request_and_is_judged_by_its_texts(
    platform: Platform, scene: Scene, engine: Engine
) -> None:
    name = f"canary-{engine.kind.replace('.', '-').lower()}"
    guarded: dict[str, Any] = {
        "rollout": {"strategy": "canary", "size": "50%", "wait": "5s"},
        # Random texts of a busy machine: their lengths are equal, their pace and what they repeat are chance.
        "evidence": {
            "compare": ["text"],
            "minimum": 60,
            "tolerance": {"text": {"first_token": "100%", "speed": "100%", "repetitions": "50%"}},
        },
    }
    deploy(platform, spec(name, engine.urls[0], **guarded))
    before = scene.settled(name)["EndpointConfigName"]
    body = json.dumps({"messages": HELLO, "max_tokens": 24, "ignore_eos": True, "stream": True, "model": name})
    with load_to(platform, f"/endpoints/{name}/v1/chat/completions", [body.encode()], 12.0) as running:
        deploy(platform, spec(name, engine.urls[1], **guarded))
        ended = scene.settled(name)
        report = running.stop()
    found = evidence(platform, name)
    assert "FailureReason" not in ended, ended["FailureReason"]
    assert ended["EndpointConfigName"] == found["new_config"] != before
    compared = verdict_of(found, "text")
    assert compared["counts"][2] > 0 and compared["finding"] != "fail"
    assert report.failed == report.unanswered == 0 and report.sent > 100
    answer = httpx.get(f"{platform.url}/endpoints/{name}/v1/models").json()
    assert [one["id"] for one in answer["data"]] == [engine.names[1]]
