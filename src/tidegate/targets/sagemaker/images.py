"""Addresses of images: the user's own first, then AWS's containers by framework and region (``data/images.yaml``)."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from tidegate.targets.sagemaker.calls import Findings
from tidegate.targets.sagemaker.options import SagemakerOptions

ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9\-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<repository>[\w./\-]+?)(?P<reference>:[\w.\-]+|@sha256:[0-9a-f]{64})?"
)
GPU = ("g4dn", "g5", "g5n", "g6", "g6e", "p2", "p3", "p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200")
ARM = re.compile(r"[a-z]+\d+g(d|n|b|e)?")


@cache
def _table() -> Any:
    return yaml.safe_load(files(__package__).joinpath("data/images.yaml").read_text(encoding="utf-8"))


def family(instance_type: str) -> str:
    """``c5`` of ``ml.c5.large``; empty for a serverless variant."""
    parts = instance_type.split(".")
    return parts[1] if len(parts) == 3 else ""


def is_arm(instance_type: str) -> bool:
    found = family(instance_type)
    return found not in GPU and ARM.fullmatch(found) is not None


def resolve_image(image: str, instance_type: str, options: SagemakerOptions, found: Findings) -> str:
    """The address in ECR. What cannot be resolved is a refusal, and the image's own name is returned."""
    given = options.images.get(image, image)
    if match := ECR.fullmatch(given):
        _check_address(given, match, instance_type, options, found)
        return given
    if given != image or not image.startswith("tidegate/"):
        found.refuse(
            f"image {given!r}: SageMaker pulls images from ECR only; push it there, and set the option images:"
            f" {{{image}: ACCOUNT.dkr.ecr.{options.region}.amazonaws.com/NAME:TAG}}"
        )
        return image
    return _framework_image(image, instance_type, options, found)


def _check_address(
    given: str, match: re.Match[str], instance_type: str, options: SagemakerOptions, found: Findings
) -> None:
    if match["region"] != options.region:
        found.refuse(
            f"image {given}: is in {match['region']}, and the endpoint in {options.region}; copy the image there"
        )
    if not (match["reference"] or "").startswith("@"):
        found.note(
            f"image {given}: a tag can be moved while a fleet scales out, which would mix versions; name it by"
            " digest (@sha256:...)"
        )
    if is_arm(instance_type):
        found.note(f"image {given}: {instance_type} has ARM processors; the image must be built for arm64")


def _framework_image(image: str, instance_type: str, options: SagemakerOptions, found: Findings) -> str:
    name, table = image.removeprefix("tidegate/"), _table()
    own = f"set the option images: {{{image}: ACCOUNT.dkr.ecr.{options.region}.amazonaws.com/NAME:TAG}}"
    row = table["frameworks"].get(name)
    if row is None:
        known = ", ".join(f"tidegate/{each}" for each in table["frameworks"])
        found.refuse(f"image {image!r}: AWS has no container for it (there are some for {known}); {own}")
        return image
    account = table["accounts"][row["accounts"]].get(options.region)
    if account is None:
        found.refuse(f"image {image!r}: no container of AWS's is known in {options.region}; {own}")
        return image
    if is_arm(instance_type):
        found.refuse(f"image {image!r}: AWS's container is not for ARM processors ({instance_type}); {own}")
        return image
    gpu = family(instance_type) in GPU and "gpu" in row["processors"]
    tag = str(row["tag"]).format(processor="gpu" if gpu else "cpu", cuda=table["cuda"] if gpu else "")
    domain = "amazonaws.com.cn" if options.region.startswith("cn-") else "amazonaws.com"
    address = f"{account}.dkr.ecr.{options.region}.{domain}/{row['repository']}:{tag}"
    found.note(
        f"image {image}: AWS's container {address} (from {table['source']}, {table['date']}); it takes AWS's content"
        " types and finds the model by AWS's rules, not tidegate's"
    )
    return address
