"""A server that gives fixed answers, and a platform's documents for it."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API = "/tidegate/v1"
AT = "2026-01-01T00:00:00+00:00"


@contextmanager
def stub(answers: Mapping[str, tuple[int, bytes]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Stands in for a server: what it answers by path (503 for others), and the requests that it saw."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            seen.append({"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body})
            operation = self.headers.get("X-Amz-Target", "")
            path = self.path.partition("?")[0]
            status, content = answers.get(operation or path, (503, b"<html>no server</html>"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


def found(document: object) -> tuple[int, bytes]:
    """An answer with status 200."""
    return 200, json.dumps(document).encode()


def fleet_document(side: str, config: str, **more: Any) -> dict[str, Any]:
    containers = [{"name": "primary", "image": "tidegate/xgboost"}]
    return {
        **{"fleet": f"e/{config}/v", "side": side, "variant": "AllTraffic", "config": config, "share": 75.0},
        **{"copies": None, "desired": 12, "ready": 11, "starting": 0, "draining": 1, "failure": None},
        "architecture": {"mode": "single", "containers": containers},
        **more,
    }


def alarm_document(name: str, state: str = "INSUFFICIENT_DATA", **more: Any) -> dict[str, Any]:
    return {
        **{"name": name, "state": state, "state_reason": "Threshold Crossed: 2 of 3 datapoints " * 4},
        **{"comparison": "GreaterThanThreshold", "datapoints_to_alarm": 2, "evaluation_periods": 3},
        **{"period": 10, "threshold": 0.02, "metric": "Invocation5XXErrors", "statistic": "Average"},
        **{"dimensions": {}, "queries": []},
        **more,
    }


def endpoint_document(name: str, **more: Any) -> dict[str, Any]:
    old, new = f"{name}-1e6283f8", f"{name}-8c2f11aa"
    failed = "replica r-1 ended with exit code 1: no such file or directory: /opt/ml/model/model.ubj"
    return {
        **{"name": name, "status": "UpdateRollbackFailed", "config": old, "failure_reason": None},
        "why": "Baking: 25 % of the traffic on the new version, which has 11 of 12 instances ready",
        "rollout": {
            **{"from": old, "to": new, "phase": "ActivatingTraffic", "stage": 10, "stages": 10},
            **{"share": {"now": 75.0, "next": 100.0}, "paused": {"since": AT, "by": "ann"}, "bake_until": AT},
            **{"reason": None, "conditions": [], "started_at": AT},
        },
        "last": None,
        "fleets": [fleet_document("old", old), fleet_document("new", new, failure=failed)],
        "alarms": [{"name": f"{new}-errors", "state": "INSUFFICIENT_DATA", "reason": "", "since": AT}],
        "scaling": [
            {
                **{"variant": "AllTraffic", "dimension": "sagemaker:variant:DesiredInstanceCount", "min": 2},
                **{"max": 10, "desired": 4, "ready": 3, "running": "Setting desired instance count to 4."},
            }
        ],
        **more,
    }


def activity_document(config: str) -> dict[str, Any]:
    return {
        **{"config": config, "variant": "AllTraffic", "requests": 50.0, "rate": 1234.5, "p50_ms": 112.5},
        **{"p99_ms": 1909.25, "errors_5xx": 5.0, "errors_4xx": 0.0},
    }
