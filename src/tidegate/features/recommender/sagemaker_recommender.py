"""``recommend --on sagemaker``: uses SageMaker's own inference recommender, at any address of its API."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from tidegate.cli import draw
from tidegate.cli.output import console, print_note
from tidegate.cli.tables import Table, address, number
from tidegate.domain.errors import Conflict, Invalid, TidegateError, Transient
from tidegate.features.recommender.carrier_table import CARRIERS, carrier_row
from tidegate.features.recommender.estimates import HEADROOM
from tidegate.features.recommender.sagemaker_job import (
    ENDED,
    SageMakerCarrier,
    SageMakerJobSpec,
    rank_recommendations,
    request,
)

FIRST_POLL, MAX_POLL = 1.0, 15.0
"""Seconds between polls of a job: increasing, since a job takes three quarters of an hour."""


def recommend_by_sagemaker(asked: SageMakerJobSpec, region: str | None, rate: float, *, as_json: bool) -> None:
    """Start the job, wait for it and print its result; Ctrl-C also stops the job. Raises TidegateError."""
    began = time.monotonic()
    try:
        client = _make_client(region)
        client.create_inference_recommendations_job(**request(asked))
        print_note(f"{asked.name}: started in SageMaker, region {client.meta.region_name}")
        try:
            job = _wait_for_job(client, asked.name)
        except KeyboardInterrupt:
            client.stop_inference_recommendations_job(JobName=asked.name)
            print_note(f"stopping {asked.name}")
            raise
        except (BotoCoreError, ClientError) as error:
            raise Transient(
                f"recommendation job {asked.name} continues, but its status is unavailable: {error}; stop it with"
                f" `aws sagemaker stop-inference-recommendations-job --job-name {asked.name}`"
            ) from None
    except ClientError as error:
        told = error.response["Error"]
        raise TidegateError(f"SageMaker refused ({told['Code']}): {told['Message']}") from None
    except NoRegionError:
        raise Invalid("SageMaker needs a region: give --region, or set AWS_DEFAULT_REGION") from None
    except BotoCoreError as error:
        raise TidegateError(f"SageMaker is unreachable: {error}") from None
    if job["Status"] != "COMPLETED":
        why = job.get("FailureReason") or "no reason given"
        raise Conflict(f"recommendation job {asked.name} ended {job['Status']}: {why}")
    best = rank_recommendations(job.get("InferenceRecommendations", []), asked.objective, rate)
    if as_json:
        print(json.dumps(_document(asked, job, best, time.monotonic() - began)))
    else:
        _show(asked, best)


def _make_client(region: str | None) -> Any:
    """Client with AWS's own settings: credentials, profile, region and AWS_ENDPOINT_URL_SAGEMAKER of the
    environment."""
    config = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 5})
    return botocore.session.get_session().create_client("sagemaker", region_name=region, config=config)


def _wait_for_job(client: Any, name: str) -> Mapping[str, Any]:
    """Wait for the job and show its progress: on a terminal in one line, elsewhere a line per change."""
    began, wait, before = time.monotonic(), FIRST_POLL, ""
    while True:
        job: Mapping[str, Any] = client.describe_inference_recommendations_job(JobName=name)
        said = f"{name}: {job['Status'].lower()}{_format_measured(client, name)}"
        if sys.stderr.isatty():
            print(
                f"\r\033[K{said}, {draw.format_elapsed(time.monotonic() - began)}",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif said != before:
            print_note(said)
        before = said
        if job["Status"] in ENDED:
            if sys.stderr.isatty():
                print(file=sys.stderr)
            return job
        time.sleep(wait)
        wait = min(MAX_POLL, wait * 1.5)


def _format_measured(client: Any, name: str) -> str:
    """Number of measured configurations; empty if unknown."""
    try:
        steps = client.list_inference_recommendations_job_steps(JobName=name)["Steps"]
    except ClientError:
        return ""
    done = sum(step["Status"] == "COMPLETED" for step in steps)
    return f", {done} of {len(steps)} configurations measured" if steps else ""


def _document(
    asked: SageMakerJobSpec, job: Mapping[str, Any], best: Sequence[SageMakerCarrier], seconds: float
) -> dict[str, object]:
    return {
        "on": "sagemaker",
        "job": asked.name,
        "arn": job["JobArn"],
        "objective": asdict(asked.objective),
        "headroom": HEADROOM,
        "offers": [asdict(one) for one in best],
        "seconds": round(seconds, 1),
    }


def _show(asked: SageMakerJobSpec, best: Sequence[SageMakerCarrier]) -> None:
    out = console()
    shown = Table(*CARRIERS, number("LATENCY"), address("ENVIRONMENT"))
    for one in best:
        environment = " ".join(f"{key}={value}" for key, value in sorted(one.environment.items()))
        shown.add_row(*carrier_row(one), f"{one.latency * 1000:,.0f} ms", environment)
    out.print(shown)
    out.print()
    out.print(
        f"Measured by SageMaker in {asked.name}, at its prices; autoscaling keeps an instance at {HEADROOM:.0%} of"
        " its capacity."
    )


def choose_job_name(model: str, given: str) -> str:
    """The given name, or one made of the model and the time, since names are used only once. Raises Invalid."""
    name = given or f"{_short_name(model)[:40]}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    if len(name) > 64 or not name.replace("-", "").isalnum():
        raise Invalid(f"--with job={name}: expected 1 to 64 letters, digits and hyphens")
    return name


def _short_name(model: str) -> str:
    """A model's name, or the package's for an ARN: ``.../model-package/fraud/3`` is fraud-3."""
    return "-".join(model.split(":")[-1].split("/")[-2:]).strip("-")
