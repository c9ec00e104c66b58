"""Starts a scoring process and reads what it answered."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from tidegate.auth.child_environment import AWS_SECRETS, remove_secrets
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError, StartTimeout, Unavailable
from tidegate.features.evidence.replay.scoring.exchange import (
    FAILURE,
    REPLICA,
    REPLIES,
    REQUESTS,
    ScoringReply,
    ScoringRequest,
    read_replies,
    write_lines,
)
from tidegate.host import aws_credentials
from tidegate.serving.contract.replica_spec import Failure, ReplicaSpec, encode, most_threads

LONGEST_REASON = 500


def score(
    spec: ReplicaSpec,
    requests: Sequence[ScoringRequest],
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
) -> list[ScoringReply]:
    """A reply for each request, in order. ``folder``: an empty one, for this user only; ``environment``: of this
    process, whose secrets the model does not get. Raises ArtifactError where the model cannot be loaded, StartTimeout
    after ``seconds``, and Unavailable where the process ends without its answers."""
    (folder / REPLICA).write_bytes(encode(spec))
    write_lines(folder / REQUESTS, requests)
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate.features.evidence.replay.scoring", str(folder), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_child_environment(spec, folder, environment),
            start_new_session=True,
        )
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise StartTimeout(f"the model did not answer {len(requests):,} rows within {seconds:g} s") from None
    finally:
        with suppress(ProcessLookupError):  # programs that the model started are of its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return _read(folder, code, log, len(requests))


def _child_environment(spec: ReplicaSpec, folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    clean = remove_secrets(environment)
    keys = {name: environment[name] for name in AWS_SECRETS if environment.get(name)}
    if keys:
        aws_credentials.write(folder / "aws-keys.json", keys)
        clean[aws_credentials.FILE_VARIABLE] = str(folder / "aws-keys.json")
    threads = str(most_threads(spec))
    return {**clean, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}


def _read(folder: Path, code: int, log: Path, expected: int) -> list[ScoringReply]:
    if code:
        failure = _failure(folder)
        if failure is not None:
            raise ArtifactError(failure.message)
        raise Unavailable(f"the process of the model ended with status {code}: {_last_line(log)}")
    try:
        replies = read_replies(folder / REPLIES)
    except (OSError, msgspec.DecodeError):
        replies = []
    if len(replies) != expected:
        raise Unavailable(f"the process of the model left {len(replies):,} replies to {expected:,} requests")
    return replies


def _failure(folder: Path) -> Failure | None:
    try:
        return msgspec.json.decode((folder / FAILURE).read_bytes(), type=prepare_type(Failure))
    except (OSError, msgspec.DecodeError):
        return None


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[-LONGEST_REASON:] if lines else "it said nothing"
