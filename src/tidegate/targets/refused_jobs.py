"""Jobs of a target that runs none."""

from collections.abc import Collection
from dataclasses import dataclass

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.recommendation import RecommendationJob
from tidegate.domain.transform import TransformJob, TransformProgress
from tidegate.ports.runners import Describe, RunnerState
from tidegate.ports.target import RecommenderState


@dataclass(frozen=True)
class RefusedTransforms:
    """``target``: its name, for the message."""

    target: str

    async def start(self, job: TransformJob, fleet: FleetSpec, describe: Describe) -> None:
        raise TargetRefused(f"the target {self.target} runs no transform jobs yet: use target local for them")

    async def look(self, job: TransformJob) -> RunnerState:
        return RunnerState(alive=False, progress=TransformProgress(), reason=None)

    def stop(self, name: str) -> None: ...

    async def discard(self, name: str) -> None: ...

    async def keep(self, name: str) -> None: ...

    async def prune(self, active: Collection[str]) -> None: ...

    def progress(self, name: str) -> TransformProgress | None:
        return None

    async def end(self, drain: bool) -> None: ...


@dataclass(frozen=True)
class RefusedRecommendations:
    target: str

    def kept(self) -> tuple[str, ...]:
        return ()

    async def start(self, job: RecommendationJob, file: bytes) -> None:
        raise TargetRefused(f"the target {self.target} runs no recommendation jobs yet: use target local for them")

    async def look(self, name: str) -> RecommenderState:
        return RecommenderState(alive=False)

    def stop(self, name: str) -> None: ...

    async def discard(self, name: str) -> None: ...

    async def end(self, drain: bool) -> None: ...
