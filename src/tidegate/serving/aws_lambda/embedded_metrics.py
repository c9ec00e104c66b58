"""Metrics of CloudWatch as lines of the log (embedded metric format), for what Lambda does not count itself.

Lambda counts an invocation as failed only if the function raised an error. A failed answer to an HTTP request, or a
message of a batch that failed, is an answer like any other to it; a rollout must see both.
"""

import msgspec

NAMESPACE = "tidegate"
FAILED, REFUSED = "FailedInvocations", "RefusedInvocations"
"""Invocations that returned a failure: of the service or the model, and of the request."""
DIMENSIONS = ("FunctionName", "ExecutedVersion")


def metric_line(name: str, function: str, version: str, at: float) -> str:
    """Counts one invocation. ``at``: epoch seconds."""
    return msgspec.json.encode(
        {
            "_aws": {
                "Timestamp": int(at * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [list(DIMENSIONS)],
                        "Metrics": [{"Name": name, "Unit": "Count"}],
                    }
                ],
            },
            "FunctionName": function,
            "ExecutedVersion": version,
            name: 1,
        }
    ).decode()
