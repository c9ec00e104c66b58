"""Native mode for commands."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import TargetRefused
from tidegate.ports.direct import DirectChange, DirectResult, Say, SmokeRequest
from tidegate.ports.logs import ReplicaLog
from tidegate.ports.target import Options
from tidegate.targets.aws.client import ThreadedCalls, open_client
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.sagemaker.changes import find_changes
from tidegate.targets.sagemaker.commands import measure_local
from tidegate.targets.sagemaker.compile import describe_steps
from tidegate.targets.sagemaker.limits import LOG_GROUP as GROUP
from tidegate.targets.sagemaker.native import NativeDeployer
from tidegate.targets.sagemaker.options import Mode, parse_options
from tidegate.targets.sagemaker.outcome import UpdateOutcome, UpdateStatus


def open_direct(options: Options, say: Say) -> "SagemakerDirect":
    """Open the deployer of native mode. Raises Invalid, StartupError, TargetRefused."""
    given = parse_options(options)
    if given.mode is not Mode.NATIVE:
        raise TargetRefused("the sagemaker target is in mode: engine, which a server drives: 'tidegate deploy'")
    return SagemakerDirect(NativeDeployer(open_client(given), given, say), say)


@dataclass(frozen=True)
class SagemakerDirect:
    """A ``ports.direct.Direct``."""

    deployer: NativeDeployer
    say: Say

    def deploy(self, wish: DesiredDeployment, *, wait: bool, smoke: SmokeRequest | None) -> DirectResult:
        local, now = measure_local(wish), datetime.now(UTC)
        planned = self.deployer.compile(wish, local, now)
        for line in (*planned.notes, *describe_steps(planned)):
            self.say(line)
        done = self.deployer.deploy(wish, local, now, wait=wait, smoke=smoke)
        result = _result(done.verdict)
        return result if wait else replace(result, exit_status=0)

    def status(self, endpoint: str) -> DirectResult:
        return _result(self.deployer.status(endpoint))

    def watch(self, endpoint: str) -> DirectResult:
        return _result(self.deployer.watch(endpoint))

    def abort(self, endpoint: str) -> DirectResult:
        """Aborting succeeds where the update is rolled back."""
        result = _result(self.deployer.abort(endpoint))
        rolled_back = result.outcome == UpdateOutcome.ROLLED_BACK
        return replace(result, exit_status=0 if rolled_back else result.exit_status or 1)

    def delete(self, endpoint: str, *, wait: bool) -> DirectResult:
        left = self.deployer.delete(endpoint, wait=wait)
        word = "is deleted" if wait else "is being deleted"
        return DirectResult("Deleted", "\n".join([f"{endpoint} {word}", *left]), 0)

    def diff(self, wish: DesiredDeployment) -> Sequence[DirectChange]:
        compiled = self.deployer.compile(wish, measure_local(wish), datetime.now(UTC))
        if compiled.refusals:
            raise TargetRefused("; ".join(compiled.refusals))
        return find_changes(self.deployer.aws, compiled)

    def logs(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        """Read the logs of an endpoint's streams ``VARIANT/INSTANCE``. Versions of native mode have no generation."""
        self.deployer.status(endpoint)
        return asyncio.run(
            read_logs(CloudLogs(ThreadedCalls(self.deployer.aws, asyncio.to_thread)), endpoint, lines)
        )

    def history(self, endpoint: str) -> Sequence[Mapping[str, object]]:
        return self.deployer.history(endpoint)


async def read_logs(logs: CloudLogs, endpoint: str, lines: int) -> list[ReplicaLog]:
    group, found = GROUP + endpoint, []
    for stream in await logs.streams(group):
        variant, _, instance = stream.name.partition("/")
        found.append(ReplicaLog(0, variant, instance, await logs.tail(group, stream.name, lines)))
    return found


def _result(verdict: UpdateStatus) -> DirectResult:
    details = {"serving": verdict.serving, "pending": verdict.pending, "phase": verdict.phase}
    return DirectResult(verdict.outcome.value, verdict.message, verdict.outcome.exit_code, details)
