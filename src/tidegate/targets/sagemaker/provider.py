"""The parts of engine mode, joined."""

from dataclasses import dataclass

from tidegate.domain.errors import Invalid, StartupError, TargetRefused
from tidegate.domain.recommendation import RecommendationJob
from tidegate.host.clock import SystemClock
from tidegate.ports.recommenders import RecommenderSeen
from tidegate.ports.target import Provider
from tidegate.targets.aws.client import AwsClient, ThreadedCalls, open_session, open_threads
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.context import TargetContext
from tidegate.targets.sagemaker.engine_evidence import SagemakerEvidence, SagemakerLogs
from tidegate.targets.sagemaker.engine_target import SagemakerLifecycle, SagemakerTarget, check_container
from tidegate.targets.sagemaker.options import Mode, parse_options
from tidegate.targets.sagemaker.timekeeper import WallTime
from tidegate.targets.sagemaker.transform_runner import SagemakerTransforms

ENGINE_PATIENCE = 20.0
"""Seconds for which a call is repeated at once; the next round of work tries again anyway."""


def provide_sagemaker(context: TargetContext) -> Provider:
    """Raises StartupError for wrong options."""
    try:
        options = parse_options(context.options)
    except Invalid as error:
        raise StartupError(str(error)) from None
    if options.mode is not Mode.ENGINE:
        raise StartupError(
            "settings of target 'sagemaker': a server drives it with mode: engine only; mode: native needs no server"
            " ('tidegate direct deploy SPEC')"
        )
    aws = AwsClient(open_session(options), options.endpoint_url, WallTime(SystemClock()), patience=ENGINE_PATIENCE)
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
        recommenders=NoRecommendations(),
        check_container=check_container,
    )


@dataclass(frozen=True)
class NoRecommendations:
    def kept(self) -> tuple[str, ...]:
        return ()

    async def start(self, job: RecommendationJob) -> None:
        raise TargetRefused("the sagemaker target runs no recommendation jobs: use another target")

    async def look(self, name: str) -> RecommenderSeen:
        return RecommenderSeen(alive=False)

    def stop(self, name: str) -> None: ...

    async def discard(self, name: str) -> None: ...

    async def end(self, drain: bool) -> None: ...
