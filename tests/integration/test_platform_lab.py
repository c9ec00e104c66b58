"""The lab on a platform whose controller dies in the middle: what the records ask for is done by the next one."""

from contextlib import suppress

import httpx

from tidegate.console.lab.progress import ENDPOINT, StepName
from tidegate.testing.platform import Platform, wait_until

API = "/tidegate/v1/lab"
SHORT = {"by": "ann", "bake": 5}


def states(client: httpx.Client) -> dict[str, str]:
    with suppress(httpx.TransportError):
        answer = client.get(API)
        assert answer.status_code == 200, answer.text
        return {one["name"]: one["state"] for one in answer.json()["steps"]}
    return {}


def wait(client: httpx.Client, name: StepName, state: str) -> None:
    wait_until(lambda: states(client).get(name) == state, f"{name} {state}", 120)


def do(client: httpx.Client, name: StepName) -> None:
    wait(client, name, "ready")
    answer = client.post(f"{API}/{name}", json=SHORT)
    assert answer.status_code == 202, answer.text


def restart(platform: Platform) -> None:
    platform.kill_controller()
    platform.start()


def test_a_lab_goes_on_after_each_death_of_the_controller_and_leaves_nothing() -> None:
    with (
        Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "3"}) as platform,
        httpx.Client(base_url=platform.url, timeout=60) as client,
    ):
        do(client, StepName.TRAIN)
        restart(platform)
        do(client, StepName.TRAIN)
        do(client, StepName.FIRST)
        do(client, StepName.TRAFFIC)
        wait(client, StepName.TRAFFIC, "done")
        restart(platform)
        found = client.get(f"/tidegate/v1/endpoints/{ENDPOINT}").json()
        assert found["status"] == "InService"

        def asked_lately() -> bool:
            live = client.get(f"/tidegate/v1/endpoints/{ENDPOINT}/live?seconds=3").json()
            return any(fleet["rate"] > 0 for fleet in live["fleets"])

        wait_until(asked_lately, "the next controller sends the requests that are left", 60)
        do(client, StepName.END)
        restart(platform)
        wait(client, StepName.END, "ahead")
        assert client.get("/tidegate/v1/endpoints").json() == {"endpoints": []}
        assert client.get("/tidegate/v1/alarms").json() == {"alarms": []}
        assert not (platform.state / "live-runs" / "lab").exists()
