"""Says in plain words why a container ended. Pure."""

import platform
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.domain.memory_sizes import format_bytes
from tidegate.features.containers.worker.engine_command import ContainerState
from tidegate.serving.runtimes.launcher import NOT_STARTED

_NOT_EXECUTABLE = 126
_ENGINE_FAILED = 125
_SIGNALLED = 128
_NO_COMMAND = ('exec: ""', "no command specified", "no command or entrypoint")
_NOT_FOUND = ("executable file not found", "no such file or directory", "command not found")
_WRONG_FORMAT = "exec format error"
_PASSING = ("address already in use", "port is already allocated", "image not known", "No such image")
"""Of what another start finds otherwise: another port is taken, and a missing image is pulled."""


@dataclass(frozen=True)
class ContainerEnd:
    """``code``: of the engine's command. ``errors``: its own last lines, which are the container's as well."""

    image: str
    code: int
    state: ContainerState
    errors: Sequence[str]
    memory_limit: int = 0
    serves: bool = False
    """It was run with SageMaker's argument ``serve``."""


@dataclass(frozen=True)
class EndReason:
    text: str
    repeats: bool
    """Another start would end the same way."""


def explain_end(end: ContainerEnd) -> EndReason:
    name = f"The container image {end.image}"
    if end.state.oom_killed:
        limit = f" of {format_bytes(end.memory_limit)}" if end.memory_limit else ""
        return EndReason(f"{name} ran out of memory: the kernel ended it at its limit{limit}", True)
    said = f"{end.state.error}\n" + "\n".join(end.errors)
    if end.code in (_ENGINE_FAILED, _NOT_EXECUTABLE, NOT_STARTED, 1):
        if any(sign in said for sign in _NO_COMMAND):
            hint = "give it an ENTRYPOINT or a CMD, or give `arguments`"
            return EndReason(f"{name} does not say which program to run: {hint}", True)
        if _WRONG_FORMAT in said.lower():
            return EndReason(
                f"{name} is for another kind of processor than this machine's ({platform.machine()})", True
            )
    if end.code in (_NOT_EXECUTABLE, NOT_STARTED) and end.state.status != "exited":
        return EndReason(f"{name} cannot be started: {_find_line(said)}{_hint_at_serve(end)}", True)
    if end.code == _ENGINE_FAILED and end.state.status != "exited":
        passes = any(sign in said for sign in _PASSING)
        return EndReason(f"{name} cannot be started: {_find_line(said)}", not passes)
    code = end.state.exit_code or end.code
    if code > _SIGNALLED and code - _SIGNALLED in signal.valid_signals():
        return EndReason(f"{name} was killed by {signal.Signals(code - _SIGNALLED).name}", False)
    return EndReason(f"{name} ended with exit code {code}", False)


def _find_line(said: str) -> str:
    lines = [line.strip().removeprefix("Error: ") for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if any(sign in line for sign in _NOT_FOUND)]
    line = (telling or lines or ["the engine does not say why"])[-1]
    cause = line.partition("unable to start container process: ")[2] or line
    return cause.partition(": OCI runtime")[0].rstrip(".").removesuffix(": unknown")


def _hint_at_serve(end: ContainerEnd) -> str:
    if not end.serves:
        return ""
    return (
        ". SageMaker's contract runs an image with the argument `serve`; give its `port` if it does not follow that"
        " contract, and it is run with its own command"
    )
