"""The pages on evidence, drift, labels, captures and shadows: what they show, escape, offer and keep back."""

import asyncio
import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml

from tests.features.access.signed_in import House
from tests.gateway_harness import GatewayHarness
from tests.insight_scene import HOSTILE, IBAN, NAME, NOW, SECRET, InsightScene, evidence_record
from tidegate.console.rendering import show_unseen
from tidegate.domain.access import Role
from tidegate.domain.errors import Transient
from tidegate.features.capture import page as captures_page
from tidegate.features.evidence.page import compared_page
from tidegate.features.evidence.service import describe_timeline
from tidegate.features.evidence.timeline import trace_evidence
from tidegate.features.multi_model.page import models_page
from tidegate.spec import parse_runnable

PAGES = ("evidence", "drift", "labels", "captures", "shadow")
HTML = {"accept": "text/html"}


def visit(folder: Path, *paths: str, full: bool = True) -> Mapping[str, httpx.Response]:
    scene = InsightScene(folder, captures=full)
    scene.house.listed = []

    async def ask() -> dict[str, httpx.Response]:
        await scene.deploy()
        if full:
            await scene.fill()
        async with scene.client() as client:
            found = {path: await client.get(path, headers=HTML) for path in paths}
        await scene.house.store.close()
        return found

    return asyncio.run(ask())


def page_of(name: str) -> str:
    return f"/console/endpoints/{NAME}/{name}"


def test_every_page_says_what_is_known_and_nothing_that_people_wrote_is_markup(tmp_path: Path) -> None:
    found = visit(tmp_path, *map(page_of, PAGES), f"/console/endpoints/{NAME}")
    for path, answer in found.items():
        assert answer.status_code == 200, path
        assert "<img" not in answer.text and "\u202e" not in answer.text, path
        assert '<nav class="tabs"' in answer.text
    evidence, drift, labels, captures = (found[page_of(name)].text for name in PAGES[:4])
    assert (
        "errors, AllTraffic" in evidence
        and "latency, AllTraffic" in evidence
        and "deadline for evidence" in evidence
    )
    certain = evidence_record("r1").verdict.results[0].evidence
    assert certain >= 1 and f"{certain:.2f} of 1" in evidence and "requests failed" in evidence
    assert "country=BR is not in the baseline" in drift and drift.count('class="plotted"') == 8
    assert "3 broken line" in drift and "no drift in 600 rows" in drift
    assert "AUC" in labels and "Delay from prediction to label" in labels and "≤ 1 d" in labels
    assert "Predictions that have a label" in labels
    assert "detectors: iban (masked)" in captures and "50 %" in captures


def test_samples_are_masked_whatever_the_file_has(tmp_path: Path) -> None:
    path = f"/tidegate/v1/endpoints/{NAME}/capture/samples"
    for answer in visit(tmp_path, page_of("captures"), path).values():
        assert answer.status_code == 200
        assert SECRET not in answer.text and IBAN not in answer.text
        assert "[secret]" in answer.text and "[iban]" in answer.text and "0.031" in answer.text
        assert "nothing can be masked" in answer.text


def test_a_page_of_nothing_says_so_and_what_to_write(tmp_path: Path) -> None:
    found = visit(tmp_path, *map(page_of, PAGES), full=False)
    said = {
        "evidence": "evidence:\n  compare:",
        "drift": "tidegate drift schedule set fraud --baseline",
        "labels": "tidegate labels measure fraud labels.jsonl --post",
        "captures": "redact:",
        "shadow": "shadow:\n  model:",
    }
    for name, words in said.items():
        text = found[page_of(name)].text
        assert words in text
        assert "The same as JSON" not in text, "there is no document to lead to"
    for name in ("drift", "labels"):
        assert "capture:\n  to:" in found[page_of(name)].text


@pytest.mark.parametrize("name", ["evidence", "drift", "labels", "captures", "shadow", "models"])
def test_what_a_page_says_to_write_is_a_spec(tmp_path: Path, name: str) -> None:
    text = visit(tmp_path, page_of(name), full=False)[page_of(name)].text
    snippet = re.search(r"<pre[^>]*>(.*?)</pre>", text, re.DOTALL)
    assert snippet is not None
    written = yaml.safe_load(unescape(snippet[1]).replace("./", "file:///m/"))
    model = {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"}
    rollout = {"strategy": "canary", "size": "10%", "wait": "10m"}
    found = parse_runnable({"endpoint": NAME, "model": model, "rollout": rollout, **written}, NOW)
    assert found.endpoint == NAME


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_no_endpoint_is_not_there(tmp_path: Path, name: str) -> None:
    path = f"/console/endpoints/nobody/{name}"
    assert visit(tmp_path, path, full=False)[path].status_code == 404


def test_every_page_has_its_document_and_its_command(tmp_path: Path) -> None:
    documents = {
        "evidence": ("evidence/timeline", "tidegate rollout evidence show fraud"),
        "drift": ("drift", "tidegate drift schedule show fraud"),
        "labels": ("labels", "tidegate labels measure fraud"),
        "captures": ("capture/samples", "tidegate show capture fraud --samples 10"),
    }
    native = [f"/tidegate/v1/endpoints/{NAME}/{document}" for document, _ in documents.values()]
    found = visit(tmp_path, *map(page_of, documents), *native)
    for name, (document, line) in documents.items():
        address = f"/tidegate/v1/endpoints/{NAME}/{document}"
        assert f'href="{address}"' in found[page_of(name)].text and f">{line}<" in found[page_of(name)].text
        assert found[address].status_code == 200 and json.loads(found[address].text)


def test_the_timeline_tells_thresholds_stages_and_deadline(tmp_path: Path) -> None:
    path = f"/tidegate/v1/endpoints/{NAME}/evidence/timeline"
    told = visit(tmp_path, path)[path].json()
    begin = NOW.timestamp()
    assert (told["threshold"], told["bake_until"], told["deadline"]) == (1.0, begin + 600, begin + 900)
    assert told["stages"] == [{"stage": 1, "at": begin}, {"stage": 2, "at": begin + 200}]
    assert (told["finding"], told["action"], told["outcome"], told["ended"]) == (
        "fail",
        "rollback",
        "Baking",
        None,
    )
    assert [one["comparison"] for one in told["comparisons"]] == ["errors", "latency"]
    assert len(told["comparisons"][0]["evidence"]) == len(told["at"])


def test_evidence_of_an_earlier_rollout_has_no_deadline() -> None:
    record = evidence_record("earlier")
    told = describe_timeline(record, None, trace_evidence(record))
    assert told["deadline"] is told["outcome"] is told["action"] is None
    assert "nothing here" in compared_page(record, None, told)["decides"]


def test_viewers_see_the_figures_and_no_request_of_a_client(tmp_path: Path) -> None:
    scene = InsightScene(tmp_path)
    house = House(GatewayHarness(scene.house.settings, store=scene.house.store, people=True))
    path = f"/tidegate/v1/endpoints/{NAME}/capture/samples"

    async def ask() -> None:
        await scene.deploy()
        await scene.fill()
        async with house.signed_in("vera", Role.VIEWER) as client:
            page = await client.get(page_of("captures"), headers=HTML)
            assert page.status_code == 200 and "your role does not" in page.text and "0.031" not in page.text
            assert "tidegate show capture fraud<" in page.text
            assert (await client.get(path)).status_code == 403
        async with house.signed_in("olga", Role.OPERATOR) as client:
            assert "0.031" in (await client.get(page_of("captures"), headers=HTML)).text
            assert (await client.get(path)).status_code == 200
        looked = [entry[1:] for entry in await house.audit() if entry[0] == "olga" and entry[1] != "login"]
        assert looked == [
            (f"GET {page_of('captures')}", "done"),
            (f"GET /endpoints/{NAME}/capture/samples", "done"),
        ]
        assert ("vera", f"GET /endpoints/{NAME}/capture/samples", "refused") in await house.audit()
        await scene.house.store.close()

    asyncio.run(ask())


@pytest.mark.parametrize("name", PAGES)
def test_a_session_that_ended_leads_to_the_login_and_back(tmp_path: Path, name: str) -> None:
    scene = InsightScene(tmp_path)
    house = House(GatewayHarness(scene.house.settings, store=scene.house.store, people=True))

    async def ask() -> None:
        await scene.deploy()
        async with house.signed_in("vera", Role.VIEWER) as client:
            assert (await client.get(page_of(name), headers=HTML)).status_code == 200
            client.cookies.clear()
            ended = await client.get(page_of(name), headers=HTML)
            assert ended.status_code == 303 and quote(page_of(name), safe="") in ended.headers["location"]
            if name != "captures":
                assert (await client.get(f"/console/live/{NAME}/{name}")).status_code in (401, 403)
        await scene.house.store.close()

    asyncio.run(ask())


def test_files_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Transient("the bucket does not answer")

    monkeypatch.setattr(captures_page, "read_samples", refuse)
    text = visit(tmp_path, page_of("captures"))[page_of("captures")].text
    assert "the bucket does not answer" in text and "50 %" in text


def test_characters_that_nobody_sees_are_shown() -> None:
    assert show_unseen(f"a{chr(0x202E)}b{chr(0)}c\n") == "a\ufffdb\ufffdc\n"
    assert show_unseen(7) == 7 and show_unseen(HOSTILE) != HOSTILE


def listed(replica: str, count: int, name: str = "client") -> dict[str, object]:
    models = [
        {
            **{"name": f"{name}-{number}.tar.gz", "state": "loaded", "bytes": 2_048, "pinned": number == 0},
            **{"requests_per_second": count - number, "version": "v", "reason": ""},
        }
        for number in range(count)
    ]
    return {
        "replica": replica,
        "memory": 4 * 2**20,
        "held": 2**20,
        "resident": 0,
        "loaded": count,
        "models": models,
    }


def test_ten_thousand_models_are_shown_by_the_page() -> None:
    replicas: list[Mapping[str, Any]] = [listed("r-1", 10_000), {"replica": "r-2"}]
    first, last = models_page(replicas, "", 1), models_page(replicas, "", 9_999)
    assert (len(first["rows"]), first["pages"], first["before"], first["after"]) == (
        100,
        100,
        None,
        "?find=&page=2",
    )
    assert first["rows"][0]["name"] == "client-0.tar.gz" and first["rows"][0]["pinned"]
    assert (last["page"], last["after"], len(last["rows"])) == (100, None, 100)
    found = models_page(replicas, "CLIENT-99", 2)
    assert found["total"] == "111" and len(found["rows"]) == 11 and found["before"] == "?find=CLIENT-99&page=1"
    assert [one["answered"] for one in first["instances"]] == [True, False]
    assert models_page(replicas, "nobody", 1)["rows"] == []


def test_models_are_searched_on_their_page_whatever_their_names(tmp_path: Path) -> None:
    scene = InsightScene(tmp_path, captures=False)
    path = page_of("models")

    async def ask() -> list[str]:
        await scene.deploy()
        async with scene.client() as client:
            scene.house.listed = []
            pages = [await client.get(path, headers=HTML)]
            scene.house.listed = [listed("r-1", 150), listed("r-2", 1, HOSTILE), {"replica": "r-3"}]
            for query in ("", "?find=onerror", "?page=2", "?find=%3Cimg+src%3Dx%3E"):
                pages.append(await client.get(path + query, headers=HTML))
            assert (await client.get(f"{path}?page=none", headers=HTML)).status_code == 400
            assert (await client.get("/console/endpoints/nobody/models", headers=HTML)).status_code == 404
        await scene.house.store.close()
        return [page.text for page in pages]

    none, first, hostile, second, nothing = asyncio.run(ask())
    assert "multi_model: {memory: 2GiB}" in none and "The same as JSON" not in none
    assert "page 1 of 2" in first and "no answer" in first and "1.0 MiB of 4.0 MiB" in first
    assert "1 of 151" in hostile and "&lt;img src=x" in hostile
    assert "page 2 of 2" in second and "No model has that in its name" in nothing
    for page in (first, hostile, second, nothing):
        assert "<img" not in page


def test_what_a_model_answered_lately_is_shown_and_an_earlier_version_of_an_instance_is_no_error() -> None:
    told = listed("r-1", 2)
    answers = {"requests": 40, "errors": 1, "p50_ms": 1.2, "p99_ms": 30.0, "seconds_since_last": 65.0}
    told["models"][0]["answers"] = answers  # type: ignore[index]
    first, second = models_page([told], "", 1)["rows"]
    assert (first["latency"], first["errors"], first["last"]) == ("1.2 ms / 30 ms", "2.5 %", "1:05 ago")
    assert (second["latency"], second["errors"], second["last"]) == ("–", "–", "–")
