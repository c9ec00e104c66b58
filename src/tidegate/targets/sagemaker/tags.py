"""Tags of what a deployment creates: the user's, and tidegate's own."""

import re
from collections.abc import Mapping
from dataclasses import replace

from tidegate.targets.aws.ownership import ACCOUNT, owner_tags, tag_list
from tidegate.targets.sagemaker import limits
from tidegate.targets.sagemaker.calls import Findings, SagemakerCall

DIGEST = "tidegate:digest"
_ALLOWED = re.compile(r"[\w\s.:/=+\-@]*")


def own_tags(endpoint: str, digest: str) -> dict[str, str]:
    return {**owner_tags(ACCOUNT, endpoint), DIGEST: digest}


def check_tags(given: Mapping[str, str], found: Findings) -> dict[str, str]:
    """The user's tags as AWS takes them; those that it would not take are refusals."""
    if len(given) + len(own_tags("", "")) > limits.TAGS:
        found.refuse(f"tags: {len(given)}, and three of tidegate's own; AWS has at most {limits.TAGS}")
    for key, value in given.items():
        if key.lower().startswith("aws:"):
            found.refuse(f"tag {key!r}: keys that begin with aws: are AWS's own; choose another")
        if not 1 <= len(key) <= limits.TAG_KEY or len(value) > limits.TAG_VALUE:
            found.refuse(
                f"tag {key[:40]!r}: a key has 1 to {limits.TAG_KEY} characters and a value at most {limits.TAG_VALUE}"
            )
        elif not _ALLOWED.fullmatch(key) or not _ALLOWED.fullmatch(value):
            found.refuse(f"tag {key!r}: AWS takes letters, digits, spaces and _.:/=+-@ only")
    return dict(given)


TAGGED = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "PutMetricAlarm", "CreateTransformJob")
"""Operations that take tags for what they create."""


def tagged(call: SagemakerCall, tags: Mapping[str, str]) -> SagemakerCall:
    if call.operation not in TAGGED:
        return call
    return replace(call, params={**call.params, "Tags": tag_list(tags)})
