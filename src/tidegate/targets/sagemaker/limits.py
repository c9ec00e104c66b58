"""Names of what is created, and limits of SageMaker that are checked before any call. Those of botocore's model
are compared with it by a test."""

import hashlib
import json

NAME = 63
"""Characters of the names of models, configs, endpoints and variants."""
DIGEST = 12
"""Hex digits of a content's digest in a name."""
GUARD_WAIT = 3600
"""Seconds of one bake, and of the final one (WaitIntervalInSeconds, TerminationWaitInSeconds)."""
EXECUTION = (600, 28_800)
"""Seconds of a whole update (MaximumExecutionTimeoutInSeconds)."""
GUARDS = 10
"""Alarms of one rollout (AutoRollbackConfiguration)."""
CANARY = 50
"""Percent of the new fleet's instances that the first step of a canary may have (developer guide)."""
LINEAR = (10, 50)
"""Percent of a linear step (developer guide)."""
BATCH = (5, 50)
"""Percent of a rolling update's batch (developer guide)."""
VARIANTS = 10
CONTAINERS = 15
START_TIMEOUT = (60, 3600)
"""Seconds to download model data, and to the first good ping."""
SERVERLESS_MEMORY = (1024, 2048, 3072, 4096, 5120, 6144)
"""MB."""
SERVERLESS_CONCURRENCY = 200
ASYNC_CONCURRENT = 1000
ENVIRONMENT_VARIABLES = 100
"""Entries of a container's environment."""
ENVIRONMENT_TEXT = 1024
"""Characters of a name or value in it."""
TAGS = 50
TAG_KEY, TAG_VALUE = 128, 256
S3_PATH = 512
"""Characters of an output address of an asynchronous endpoint."""
MODEL_URL = 1024
"""Characters of ModelDataUrl and S3Uri."""
METRIC_PERIOD = 60
"""Seconds between the points of an endpoint's metrics, unless enhanced metrics are on (then 10)."""
ALARM_SPAN = 86_400
"""Seconds that an alarm may look back: period times evaluation periods."""
ALARM_NAME = 255
SCHEDULED_ACTIONS = 200
"""Of one scalable target."""
LAUNCH = 900
"""Seconds allowed for launching instances, beside download and start-up: SageMaker promises none."""


# Names of what is created: the endpoint's name and a digest of the content, so equal content has one name.


LOG_GROUP = "/aws/sagemaker/Endpoints/"
"""The endpoint's name follows."""


def digest_content(content: object) -> str:
    """Hex SHA-256 of JSON data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def content_name(base: str, content: object) -> str:
    """``BASE-DIGEST12``, at most 63 characters.

    The digest covers the base as well: SageMaker's names do not differ by case, ours would otherwise collide for
    endpoints whose names do."""
    suffix = digest_content([base, content])[:DIGEST]
    return f"{base[: NAME - DIGEST - 1].rstrip('-')}-{suffix}"
