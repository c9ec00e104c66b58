"""A model that is slowed, so that the number of instances decides on a machine of few cores.

Each instance answers one request at a time, in a fixed time that it spends asleep: an instance stands for a machine
of its own, of which two cores can then carry a dozen. What is left on the cores is the platform itself.
"""

from typing import Any

import httpx

from tidegate.host.platform import Platform, wait_until

ENVIRONMENT = {"TIDEGATE_TRUST": "code", "TIDEGATE_DRAIN_TIMEOUT": "10"}
CODE = """\
import time


class Fraud:
    def predict(self, row: bytes) -> str:
        time.sleep({seconds})
        return "0.5"
"""


def model(platform: Platform, seconds: float) -> dict[str, Any]:
    """The ``model`` of a spec. Its folder is written where the platform may read it."""
    folder = platform.state / "models" / f"slowed-{seconds * 1000:g}"
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    (code / "slowed.py").write_text(CODE.format(seconds=seconds))
    handler = {"MODEL_HANDLER": "slowed:Fraud", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    return {"image": "tidegate/python", "data": f"{folder.as_uri()}/", "environment": handler}


def deploy(platform: Platform, spec: dict[str, Any]) -> None:
    """Returns when it serves with all its instances."""
    answer = httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec, "by": "bench"}, timeout=30)
    if answer.status_code >= 300:
        raise RuntimeError(answer.text)
    name, count = spec["endpoint"], spec.get("instances", 1)
    wait_until(lambda: serves(platform, name, count), f"{name} serves", 120)


def serves(platform: Platform, name: str, count: int) -> bool:
    found = document(platform, name)
    return found["status"] == "InService" and ready(found) == count


def document(platform: Platform, name: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{platform.url}/tidegate/v1/endpoints/{name}", timeout=10).json()
    return found


def ready(found: dict[str, Any]) -> int:
    return sum(fleet["ready"] for fleet in found["fleets"])
