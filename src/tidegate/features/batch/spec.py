"""The ``job`` section of a spec: a batch transform job in place of an endpoint."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.transform import (
    BadRows,
    DataProcessing,
    RequestLimits,
    SplitType,
    TransformInput,
    TransformJob,
    TransformOutput,
)
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import DeploymentIds, EndpointExtension
from tidegate.spec.problem import SpecError
from tidegate.spec.sections import Draft
from tidegate.spec.unit_texts import duration_text
from tidegate.spec.units import one_of, seconds
from tidegate.spec.value_types import Duration, about

SPLITS = {
    "none": SplitType.NONE,
    "line": SplitType.LINE,
    "recordio": SplitType.RECORD_IO,
    "tfrecord": SplitType.TF_RECORD,
}
_WORDS = {split: word for word, split in SPLITS.items()}


class TransformSection(Struct, forbid_unknown_fields=True):
    """A batch transform job in place of an endpoint, on ``instances`` of ``instance_type``: the model scores
    files."""

    input: Annotated[str, about("A file or prefix with the records.", "s3://data/claims/")]
    output: Annotated[str, about("Prefix for the answers.", "s3://answers/claims/")]
    content_type: Annotated[str, about("Type of the records.", "text/csv")] = ""
    split: Annotated[str, about("How a file is split into records.", enum=tuple(SPLITS))] = "none"
    join: Annotated[bool, Meta(description="Append each answer to its record.")] = False
    on_bad_rows: Annotated[
        str, about("fail, or errors: bad rows go to a file of errors.", enum=tuple(one.value for one in BadRows))
    ] = BadRows.FAIL.value
    megabytes: (
        Annotated[
            int,
            Meta(description="Largest request in MB.", extra_json_schema={"minimum": 1, "maximum": 100}),
        ]
        | None
    ) = None
    timeout: Annotated[Duration, about("Longest time for the answer to one request.", "20m")] | None = None


def build_job(given: TransformSection, draft: Draft) -> TransformJob:
    """Raises SpecError, also for keys of an endpoint, which a job has no use for."""
    for key in ("autoscaling", "async", "serverless", "shadow", "variants"):
        if getattr(draft.spec, key, None) is not None:
            raise SpecError((key,), "cannot be combined with job, which needs no endpoint")
    split = SPLITS[one_of(given.split, tuple(SPLITS), ("job", "split"))]
    bad = one_of(given.on_bad_rows, tuple(BadRows), ("job", "on_bad_rows"))
    usual = RequestLimits()
    wait = usual.timeout if given.timeout is None else float(seconds(given.timeout, ("job", "timeout"), least=1))
    (model, *_), (variant, *_) = draft.desired.models, draft.desired.config.variants
    return TransformJob(
        draft.desired.endpoint,
        model,
        TransformInput(given.input, content_type=given.content_type, split=split),
        TransformOutput(given.output, by_line=split is SplitType.LINE),
        draft.now,
        processing=DataProcessing(join=given.join),
        pace=RequestLimits(megabytes=given.megabytes, timeout=wait),
        on_bad_rows=BadRows(bad),
        instances=variant.instance_count,
        instance_type=variant.instance_type,
    )


def render_job(deployed: DesiredDeployment) -> dict[str, Any]:
    """The inverse of ``build_job``, without defaults."""
    job = deployed.job
    assert job is not None
    made: dict[str, Any] = {"input": job.source.uri, "output": job.sink.uri}
    made |= {"content_type": job.source.content_type} if job.source.content_type else {}
    made |= {"split": _WORDS[job.source.split]} if job.source.split is not SplitType.NONE else {}
    made |= {"join": True} if job.processing.join else {}
    made |= {"on_bad_rows": job.on_bad_rows.value} if job.on_bad_rows is not BadRows.FAIL else {}
    made |= {} if job.pace.megabytes is None else {"megabytes": job.pace.megabytes}
    usual = RequestLimits().timeout
    return made if job.pace.timeout == usual else {**made, "timeout": duration_text(job.pace.timeout)}


# --- refuses to deploy a spec that describes a job ---


class _JobSpec(EndpointExtension):
    member = "job"

    def apply(
        self, tx: Tx, endpoint: str, desired: TransformJob | None, ids: DeploymentIds, now: datetime
    ) -> None:
        if desired is not None:
            raise Invalid(f"job: {endpoint} is a batch transform job, not an endpoint: run 'tidegate batch SPEC'")


EXTENSION = _JobSpec()
