"""Why a container ended, in plain words."""

from dataclasses import replace

import pytest

from tidegate.features.containers.worker.end_reasons import ContainerEnd, explain_end
from tidegate.features.containers.worker.engine_command import ContainerState

ENDED = ContainerEnd("ghcr.example/fraud:1", 3, ContainerState(status="exited", exit_code=3), ())
RUNC = (
    "runc: runc create failed: unable to start container process: exec: {}: OCI runtime attempted to invoke a"
    " command that was not found"
)


@pytest.mark.parametrize(
    ("end", "says", "repeats"),
    [
        (ENDED, "ended with exit code 3", False),
        (
            replace(ENDED, code=137, state=ContainerState(status="exited", exit_code=137)),
            "killed by SIGKILL",
            False,
        ),
        (
            replace(ENDED, code=137, state=ContainerState(exit_code=137, oom_killed=True), memory_limit=64 << 20),
            "ran out of memory: the kernel ended it at its limit of 64 MiB",
            True,
        ),
        (
            replace(
                ENDED,
                code=127,
                state=ContainerState(
                    status="created", error=RUNC.format('"": executable file not found in $PATH')
                ),
            ),
            "does not say which program to run",
            True,
        ),
        (
            replace(
                ENDED,
                code=127,
                state=ContainerState(
                    status="created", error=RUNC.format('"serve": executable file not found in $PATH')
                ),
                serves=True,
            ),
            'cannot be started: exec: "serve": executable file not found in $PATH. SageMaker\'s contract',
            True,
        ),
        (
            replace(ENDED, code=1, state=ContainerState("exited", 1), errors=["exec /srv/run: exec format error"]),
            "is for another kind of processor",
            True,
        ),
        (
            replace(
                ENDED, code=125, state=ContainerState(), errors=["Error: rootlessport: address already in use"]
            ),
            "cannot be started: rootlessport: address already in use",
            False,
        ),
        (
            replace(ENDED, code=125, state=ContainerState(), errors=["Error: unresolvable CDI devices"]),
            "cannot be started: unresolvable CDI devices",
            True,
        ),
        (replace(ENDED, code=127, state=ContainerState("exited", 127)), "ended with exit code 127", False),
    ],
)
def test_reasons(end: ContainerEnd, says: str, repeats: bool) -> None:
    reason = explain_end(end)
    assert says in reason.text
    assert reason.repeats is repeats
