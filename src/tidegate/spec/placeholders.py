"""Addresses that only stand for model data: those of a plan, and those with dots or brackets to fill in."""

import re

from tidegate.spec.paths import artifacts
from tidegate.spec.problem import SpecError

PLAN_TAG = "tidegate:plan"
"""Tag of every spec that the planner wrote."""
PLANNED_FILES = ("", "model.tar.gz", "model.gguf")
"""Names of model data in plans; empty for a folder of models."""
_BRACKETS = re.compile(r"<[^<>/]*>")


def planned_address(endpoint: str, container: str | None, file: str) -> str:
    """Return the address that a plan has if no model data was given. It is a valid address, so it counts as a
    placeholder only in a spec with the tag of a plan. ``container`` is the name of one of several."""
    return "/".join(("s3://models", endpoint, *(() if container is None else (container,)), file))


def refuse_placeholders(data: object) -> None:
    """Refuse placeholders of addresses in a spec's plain data. Raises SpecError for the first one."""
    for path, model in artifacts(data):
        address = model.get("data")
        if not isinstance(address, str):
            continue
        if has_gap(address):
            raise SpecError((*path, "data"), describe_placeholder(address), shown=())
        if _is_planned(address, model.get("name"), data):
            really = f"; if your model is at this very address, remove the tag {PLAN_TAG}"
            raise SpecError((*path, "data"), describe_placeholder(address) + really, shown=())


def has_gap(address: str) -> bool:
    """Return whether a part of the address is left to fill in: ``...``, or ``<this>``. A file may have both in its
    name, but no folder is called ``...``."""
    if "://" in address and not address.startswith("file://"):
        return "..." in address or "…" in address or bool(_BRACKETS.search(address))
    return any(part in ("...", "…") for part in address.split("/"))


def has_impossible_bucket(address: str) -> bool:
    """Return whether it is an S3 address whose bucket is left to fill in. No bucket can have such a name, while a key
    may: SageMaker's API, which takes any address that can exist, refuses these alone."""
    if not address.startswith("s3://"):
        return False
    bucket = address.removeprefix("s3://").partition("/")[0]
    return any(sign in bucket for sign in ("<", ">", "..", "…"))


def describe_placeholder(address: str) -> str:
    return (
        f"model data {address} is a placeholder: put in where your model is, a path, file:// or s3:// "
        "('tidegate plan' takes it as --model DATA)"
    )


def _is_planned(address: str, container: object, data: object) -> bool:
    if not isinstance(data, dict) or not isinstance(data.get("tags"), dict) or PLAN_TAG not in data["tags"]:
        return False
    endpoint, name = str(data.get("endpoint")), container if isinstance(container, str) else None
    return any(address == planned_address(endpoint, name, file) for file in PLANNED_FILES)
