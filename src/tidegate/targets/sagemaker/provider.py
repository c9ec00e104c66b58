"""The parts of engine mode, joined, and batch transform jobs by CreateTransformJob."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import Invalid, StartupError, TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.recommendation import RecommendationJob
from tidegate.domain.transform import TransformJob, TransformProgress
from tidegate.ports.runners import Describe, RunnerState
from tidegate.ports.target import Provider, RecommenderState
from tidegate.targets.aws.client import AwsClient, ThreadedCalls, open_client, open_threads
from tidegate.targets.aws.errors import ResourceExists, Unanswered
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.context import TargetContext
from tidegate.targets.sagemaker import ensure
from tidegate.targets.sagemaker.calls import Findings, SagemakerCall
from tidegate.targets.sagemaker.engine_calls import compile_fleet
from tidegate.targets.sagemaker.engine_evidence import SagemakerEvidence, SagemakerLogs
from tidegate.targets.sagemaker.engine_target import SagemakerLifecycle, SagemakerTarget, check_container
from tidegate.targets.sagemaker.observe import describe
from tidegate.targets.sagemaker.options import Mode, SagemakerOptions, parse_options
from tidegate.targets.sagemaker.transform_call import compile_transform

_ENDED = {"Completed": "", "Failed": "the job failed", "Stopped": "the job was stopped"}


@dataclass
class SagemakerTransforms:
    """SageMaker tells nothing of a job's progress, and keeps its work itself."""

    aws: AwsClient
    options: SagemakerOptions
    in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread
    _stopping: set["asyncio.Future[Any]"] = field(default_factory=set)

    async def start(self, job: TransformJob, fleet: FleetSpec, describe: Describe) -> None:
        found = Findings()
        model = compile_fleet(fleet, self.options).model
        call = compile_transform(job, str(model.params["ModelName"]), self.options, found)
        if found.refusals:
            raise TargetRefused("; ".join(found.refusals))
        await self.in_thread(lambda: self._create(model, call))

    def _create(self, model: SagemakerCall, call: SagemakerCall) -> None:
        ensure.ensure_created(self.aws, model, lambda line: None)
        named = {"TransformJobName": call.params["TransformJobName"]}
        try:
            self.aws.call(call.service, call.operation, dict(call.params))
        except ResourceExists:
            pass
        except Unanswered:
            if describe(self.aws, "DescribeTransformJob", named) is None:
                raise

    async def look(self, job: TransformJob) -> RunnerState:
        named = {"TransformJobName": job.name}
        there = await self.in_thread(lambda: describe(self.aws, "DescribeTransformJob", named))
        if there is None:
            return RunnerState(alive=False, progress=TransformProgress(), reason=None)
        status = str(there["TransformJobStatus"])
        reason = None if status not in _ENDED else str(there.get("FailureReason") or _ENDED[status])
        return RunnerState(alive=status not in _ENDED, progress=TransformProgress(), reason=reason)

    def stop(self, name: str) -> None:
        call = self.in_thread(lambda: describe(self.aws, "StopTransformJob", {"TransformJobName": name}))
        task = asyncio.ensure_future(call)
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def discard(self, name: str) -> None: ...

    async def keep(self, name: str) -> None: ...

    async def prune(self, active: Collection[str]) -> None: ...

    def progress(self, name: str) -> TransformProgress | None:
        return None

    async def end(self, drain: bool) -> None: ...


ENGINE_DEADLINE = 20.0
"""Seconds for which a call is repeated at once; the next round of work tries again anyway."""


def provide_sagemaker(context: TargetContext) -> Provider:
    """Assemble the target ``sagemaker`` from its settings. Raises StartupError for wrong options."""
    try:
        options = parse_options(context.options)
    except Invalid as error:
        raise StartupError(str(error)) from None
    if options.mode is not Mode.ENGINE:
        raise StartupError(
            "settings of target 'sagemaker': a server drives it with mode: engine only; mode: native needs no server"
            " ('tidegate direct deploy SPEC')"
        )
    aws = open_client(options, ENGINE_DEADLINE)
    in_thread = open_threads("sagemaker")
    calls = ThreadedCalls(aws, in_thread)
    target = SagemakerTarget(aws, options, context.changed, in_thread)
    return Provider(
        target=target,
        fleets=target,
        lifecycle=SagemakerLifecycle(target),
        evidence=SagemakerEvidence(target, calls),
        logs=SagemakerLogs(target, CloudLogs(calls)),
        runners=SagemakerTransforms(aws, options),
        recommenders=_NoRecommendations(),
        check_container=check_container,
    )


@dataclass(frozen=True)
class _NoRecommendations:
    def kept(self) -> tuple[str, ...]:
        return ()

    async def start(self, job: RecommendationJob, file: bytes) -> None:
        raise TargetRefused("the sagemaker target runs no recommendation jobs: use another target")

    async def look(self, name: str) -> RecommenderState:
        return RecommenderState(alive=False)

    def stop(self, name: str) -> None: ...

    async def discard(self, name: str) -> None: ...

    async def end(self, drain: bool) -> None: ...
