"""Makes what a deployment needs, so that doing it again changes nothing. Names hold the digest of the content, so
what already exists under a name must have that content: this is compared, never assumed."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tidegate.domain.errors import TargetRefused, Transient
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.aws.errors import AwsRefused, ResourceExists, Unanswered
from tidegate.targets.sagemaker.calls import Params, SagemakerCall, Upload
from tidegate.targets.sagemaker.model_data import files_of, measure
from tidegate.targets.sagemaker.observe import describe

ROLE_WAIT = 120.0
"""Seconds for which a fresh role may not be assumable."""
VISIBLE_WAIT = 180.0
"""Seconds until a read must see what was created."""
POLL = 5.0
_DESCRIBES = {
    "CreateModel": ("DescribeModel", "ModelName"),
    "CreateEndpointConfig": ("DescribeEndpointConfig", "EndpointConfigName"),
}


def ensure_uploads(aws: AwsClient, uploads: tuple[Upload, ...], say: Callable[[str], None]) -> None:
    """Upload what S3 does not have yet. Raises TargetRefused if the data changed since it was measured."""
    for upload in uploads:
        again = measure(f"file://{upload.path}")
        if again.sha256 != upload.sha256:
            raise TargetRefused(f"{upload.path}: changed while it was being deployed; deploy again")
        for name, path in files_of(again):
            key = f"{upload.key}{name}" if again.folder else upload.key
            _ensure_object(aws, path, upload.bucket, key, upload.sha256, say)


def _ensure_object(
    aws: AwsClient, path: Path, bucket: str, key: str, sha256: str, say: Callable[[str], None]
) -> None:
    there = describe(aws, "HeadObject", {"Bucket": bucket, "Key": key}, "s3")
    if there is not None:
        size = path.stat().st_size
        if there.get("Metadata", {}).get("sha256") == sha256 and there["ContentLength"] == size:
            return
        raise TargetRefused(
            f"s3://{bucket}/{key}: has other content than {path}; a fleet may be running with it, so it is not"
            " overwritten: remove it, or set another prefix"
        )
    say(f"uploading {path} to s3://{bucket}/{key}")
    aws.upload(path, bucket, key, {"sha256": sha256})


def ensure_created(aws: AwsClient, call: SagemakerCall, say: Callable[[str], None]) -> None:
    """A model or a config, visible when this returns."""
    reading, member = _DESCRIBES[call.operation]
    named = {member: call.params[member]}
    there = describe(aws, reading, named)
    if there is None:
        say(f"{call.operation} {call.params[member]}")
        there = _create(aws, call, reading, named)
    difference = find_difference(call.params, there)
    if difference:
        raise TargetRefused(
            f"{call.params[member]} exists with other content ({difference}), and tidegate changes nothing that it"
            " did not make: delete it, or choose another name for the endpoint"
        )


def _create(aws: AwsClient, call: SagemakerCall, reading: str, named: Params) -> Params:
    """Create until it is visible. Repeating is harmless: the name is taken by the first call that was carried out."""
    start, accepted = aws.clock.now(), False
    while True:
        if not accepted:
            accepted = _try_to_create(aws, call, start)
        there = describe(aws, reading, named)
        if there is not None:
            return there
        if (aws.clock.now() - start).total_seconds() > VISIBLE_WAIT:
            (name,) = named.values()
            raise Transient(f"{name}: is not there {VISIBLE_WAIT:g} s after its creation: deploy again")
        aws.pause(POLL)


def _try_to_create(aws: AwsClient, call: SagemakerCall, start: datetime) -> bool:
    """Try to create a resource. False: the answer was lost, or the role is too fresh."""
    try:
        aws.call(call.service, call.operation, dict(call.params))
    except Unanswered:
        return False
    except ResourceExists:
        return True
    except AwsRefused as error:
        late = (aws.clock.now() - start).total_seconds() > ROLE_WAIT
        if late or not error.fresh_role:
            raise
        return False
    return True


def find_difference(wanted: Any, there: Any, path: str = "") -> str | None:
    """The first member of a request that the description shows otherwise. What a description adds does not count."""
    if isinstance(wanted, Mapping):
        if not isinstance(there, Mapping):
            return path
        for name, value in wanted.items():
            if path == "" and name == "Tags":
                continue
            # AWS shows a default where the request had none, and leaves out what is empty.
            if value not in ({}, []) and (
                found := find_difference(value, there.get(name), f"{path}.{name}".strip("."))
            ):
                return found
        return None
    if isinstance(wanted, list):
        if not isinstance(there, list) or len(wanted) != len(there):
            return path
        for index, (one, other) in enumerate(zip(wanted, there, strict=True)):
            if found := find_difference(one, other, f"{path}[{index}]"):
                return found
        return None
    return None if wanted == there else path


def ensure_alarms(aws: AwsClient, alarms: tuple[SagemakerCall, ...], guards: tuple[str, ...]) -> None:
    """Put the alarms. Raises TargetRefused if one that guards the rollout is in ALARM: SageMaker would roll back at
    once."""
    for call in alarms:
        aws.call(call.service, call.operation, dict(call.params))
    if not guards:
        return
    start = aws.clock.now()
    while True:
        found = aws.call("cloudwatch", "DescribeAlarms", {"AlarmNames": list(guards)})["MetricAlarms"]
        states = {one["AlarmName"]: one["StateValue"] for one in found}
        missing = [name for name in guards if name not in states]
        if not missing:
            break
        if (aws.clock.now() - start).total_seconds() > VISIBLE_WAIT:
            raise Transient(
                f"alarm {missing[0]}: is not there yet, and the rollout would be unguarded: deploy again"
            )
        aws.pause(POLL)
    if firing := [name for name in guards if states[name] == "ALARM"]:
        raise TargetRefused(
            f"alarm {firing[0]} is in ALARM already, so the update would be rolled back at once: find its cause, or"
            " wait until it is over"
        )
