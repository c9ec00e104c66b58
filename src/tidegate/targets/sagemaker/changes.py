"""What a deployment would change at SageMaker: members of its calls beside what the endpoint runs now."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tidegate.ports.direct import DirectChange
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.calls import Compiled, Params
from tidegate.targets.sagemaker.observe import describe, describe_endpoint

_NAMES = ("EndpointConfigName", "ModelName", "Tags")
"""Names follow from the content, and differ whenever something else does."""
_KEYED = {"ProductionVariants": "VariantName", "ShadowProductionVariants": "VariantName", "Environment": ""}


def find_changes(aws: AwsClient, compiled: Compiled) -> list[DirectChange]:
    """Of the config and its models; everything is new where there is no endpoint. Reads only."""
    there = describe_endpoint(aws, compiled.endpoint)
    config = _described(aws, "EndpointConfig", there["EndpointConfigName"]) if there is not None else {}
    found = list(compare(compiled.config.params, config, ""))
    runs = {
        one["VariantName"]: one["ModelName"] for one in config.get("ProductionVariants", ()) if "ModelName" in one
    }
    models = {str(call.params["ModelName"]): call.params for call in compiled.models}
    for variant in compiled.config.params.get("ProductionVariants", ()):
        wanted = models.get(variant.get("ModelName"), {})
        name = runs.get(variant["VariantName"])
        found += compare(
            wanted, _described(aws, "Model", name) if name else {}, f"models.{variant['VariantName']}"
        )
    return found


def _described(aws: AwsClient, kind: str, name: str) -> Params:
    return describe(aws, f"Describe{kind}", {f"{kind}Name": name}) or {}


def compare(wanted: Any, there: Any, path: str) -> Iterator[DirectChange]:
    """Members of ``wanted`` that are others in ``there``, and variants and variables that are only there. What else a
    description adds does not count: AWS shows defaults where the request had nothing."""
    if isinstance(wanted, Mapping):
        seen = there if isinstance(there, Mapping) else {}
        own = [name for name in wanted if name not in _NAMES]
        extra = [name for name in seen if name not in wanted] if path.rpartition(".")[2] in _KEYED else []
        for name in (*own, *extra):
            yield from compare(wanted.get(name), seen.get(name), f"{path}.{name}".strip("."))
    elif isinstance(wanted, list) and (key := _KEYED.get(path.rpartition(".")[2])):
        yield from compare(_by(wanted, key), _by(there or [], key), path)
    elif wanted != there and wanted not in ({}, []):
        yield DirectChange(path, _text(there), _text(wanted))


def _by(entries: Sequence[Params], key: str) -> dict[str, Params]:
    return {str(one[key]): {name: value for name, value in one.items() if name != key} for one in entries}


def _text(value: Any) -> str:
    return "" if value is None else str(value)
