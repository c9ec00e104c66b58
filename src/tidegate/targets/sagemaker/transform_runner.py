"""Batch transform jobs by CreateTransformJob: a ``ports.runners.Runners``."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import TransformJob, TransformProgress
from tidegate.ports.runners import RunnerSeen
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.aws.errors import ResourceExists, Unanswered
from tidegate.targets.sagemaker import ensure
from tidegate.targets.sagemaker.calls import Call, Findings
from tidegate.targets.sagemaker.engine_calls import compile_fleet
from tidegate.targets.sagemaker.observe import describe
from tidegate.targets.sagemaker.options import SagemakerOptions
from tidegate.targets.sagemaker.transform_call import compile_transform

_ENDED = {"Completed": "", "Failed": "the job failed", "Stopped": "the job was stopped"}


@dataclass
class SagemakerTransforms:
    """SageMaker tells nothing of a job's progress, and keeps its work itself."""

    aws: AwsClient
    options: SagemakerOptions
    in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread
    _stopping: set["asyncio.Future[Any]"] = field(default_factory=set)

    async def start(self, job: TransformJob, fleet: FleetSpec) -> None:
        found = Findings()
        model = compile_fleet(fleet, self.options).model
        call = compile_transform(job, str(model.params["ModelName"]), self.options, found)
        if found.refusals:
            raise TargetRefused("; ".join(found.refusals))
        await self.in_thread(lambda: self._create(model, call))

    def _create(self, model: Call, call: Call) -> None:
        ensure.ensure_created(self.aws, model, lambda line: None)
        named = {"TransformJobName": call.params["TransformJobName"]}
        try:
            self.aws.call(call.service, call.operation, dict(call.params))
        except ResourceExists:
            pass
        except Unanswered:
            if describe(self.aws, "DescribeTransformJob", named) is None:
                raise

    async def look(self, job: TransformJob) -> RunnerSeen:
        named = {"TransformJobName": job.name}
        there = await self.in_thread(lambda: describe(self.aws, "DescribeTransformJob", named))
        if there is None:
            return RunnerSeen(alive=False, progress=TransformProgress(), reason=None)
        status = str(there["TransformJobStatus"])
        reason = None if status not in _ENDED else str(there.get("FailureReason") or _ENDED[status])
        return RunnerSeen(alive=status not in _ENDED, progress=TransformProgress(), reason=reason)

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
