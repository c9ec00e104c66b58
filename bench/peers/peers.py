"""The other model servers, as their own documents set them up for one machine of two cores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.sides import BODY, ROW

V2 = json.dumps({"inputs": [{"name": "x", "shape": [1, len(ROW)], "datatype": "FP32", "data": ROW}]}).encode()
"""The Open Inference Protocol's request."""


@dataclass(frozen=True)
class Peer:
    """``command`` and ``environment`` may name {bin} (programs of its environment), {servers}, {bench}, {folder} (its
    working folder), {library} (the folder of libpython) and {port}, {port_2}, {port_3}. The server also finds MODEL,
    PORT and PORT_2 in its environment. ``start`` is how many seconds it may take until it answers."""

    name: str
    title: str
    command: tuple[str, ...]
    path: str = "/invocations"
    body: bytes = BODY
    ready: str = "/ping"
    environment: Mapping[str, str] = field(default_factory=dict)
    start: float = 60.0


def script(name: str) -> tuple[str, ...]:
    return ("{bin}/python", f"{{servers}}/{name}.py")


UVICORN = ("{bin}/python", "-m", "uvicorn", "--app-dir", "{bench}", "fastapi_server:app", "--workers", "2")
KSERVE = ("--http_port", "{port}", "--workers", "2", "--enable_grpc", "false", "--enable_latency_logging", "false")
BENTOML = ("{bin}/bentoml", "serve", "bentoml_server:Booster", "--working-dir", "{servers}")
RAY = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_METRICS_PORT": "{port_2}",
    "RAY_SERVE_HAPROXY_STATS_PORT": "{port_3}",
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "{folder}/haproxy/haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "{folder}/haproxy/admin.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "{folder}/haproxy",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "{folder}/haproxy/server-state",
    "RAY_USAGE_STATS_ENABLED": "0",
}

PEERS = (
    Peer("floor", "two bare processes", script("floor_server")),
    Peer(
        "fastapi",
        "FastAPI, uvicorn",
        (*UVICORN, "--port", "{port}", "--no-access-log", "--log-level", "error"),
    ),
    Peer("flask", "Flask, gunicorn, nginx", script("flask_server")),
    Peer(
        "kserve",
        "KServe",
        (*script("kserve_server"), *KSERVE, "--log_config_file", "{servers}/kserve_logging.json"),
        path="/v1/models/booster:predict",
        ready="/v1/models/booster",
    ),
    Peer(
        "mlserver",
        "MLServer",
        script("mlserver_server"),
        path="/v2/models/booster/infer",
        body=V2,
        ready="/v2/models/booster/ready",
        environment={"PYTHONPATH": "{servers}"},
    ),
    Peer(
        "bentoml",
        "BentoML",
        (*BENTOML, "--host", "127.0.0.1", "--port", "{port}"),
        path="/predict",
        ready="/readyz",
        environment={"BENTOML_DO_NOT_TRACK": "true"},
    ),
    Peer("litserve", "LitServe", script("litserve_server"), path="/predict", ready="/health"),
    Peer("ray", "Ray Serve, HAProxy", script("ray_server"), path="/", ready="/", environment=RAY, start=180),
    Peer(
        "mlflow",
        "MLflow",
        script("mlflow_server"),
        body=json.dumps({"inputs": [ROW]}).encode(),
        environment={
            "UVICORN_ACCESS_LOG": "false",
            "UVICORN_LOG_LEVEL": "error",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        start=120,
    ),
    Peer(
        "triton",
        "Triton (PyTriton)",
        script("triton_server"),
        path="/v2/models/booster/infer",
        body=V2,
        ready="/v2/models/booster/ready",
        environment={"LD_LIBRARY_PATH": "{library}"},
        start=120,
    ),
)
