"""ONNX models on a CUDA device: a session of onnxruntime's CUDA execution provider, which never falls back by itself.

onnxruntime puts operators for which a provider has no code on the processor, and says so in its profile only. So the
profile of the first calls is read: a model of which nothing ran on the device is refused.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime

from tidegate.domain.errors import ArtifactError

Guard = Callable[[Callable[..., Any]], Callable[..., Any]]

_OPTIONS = {"CUDAExecutionProvider": {"device_id": "0", "use_tf32": "0"}}
"""Compute with all digits of float32: TF32 leaves out 13 of its 23 bits."""


class OnnxOnDevice:
    """A ``library.DeviceLibrary``. ``provider``: onnxruntime's name of the execution provider."""

    several = False

    def __init__(self, provider: str = "CUDAExecutionProvider") -> None:
        self.provider = provider

    def missing(self) -> str:
        there = onnxruntime.get_available_providers()
        return "" if self.provider in there else f"the installed onnxruntime has no {self.provider}"

    @contextmanager
    def opened(self, path: Path, options: Any, guard: Guard) -> Iterator["_DeviceSession"]:
        """The model on the device; its calls within the body are profiled. Raises ArtifactError if onnxruntime does
        not take it."""
        with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
            options.enable_profiling = True
            options.profile_file_prefix = f"{folder}/profile"
            chosen = [(self.provider, _OPTIONS.get(self.provider, {}))]
            try:
                session = onnxruntime.InferenceSession(str(path), options, providers=chosen)
            except Exception as error:  # onnxruntime's errors have no class of their own
                why = " ".join(str(error).split())[:300]
                raise ArtifactError(f"{path.name} cannot be put on the device: {why}") from None
            yield _DeviceSession(session, self.provider, guard)


class _DeviceSession:
    """A session whose calls are guarded."""

    def __init__(self, session: Any, provider: str, guard: Guard) -> None:
        """Raises ArtifactError if the session does not have the provider."""
        if provider not in session.get_providers():
            raise ArtifactError(
                f"onnxruntime did not start {provider} and would run the model on the processor instead (its log says"
                " why, such as a library of CUDA that is missing)"
            )
        session.disable_fallback()  # after an error it would go on with another provider, and say so to nobody
        self._session = session
        self._provider = provider
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs
        self.run = guard(session.run)

    def confirm(self) -> None:
        """End the profile. Raises ArtifactError if the calls until now left the device idle."""
        events = json.loads(Path(self._session.end_profiling()).read_bytes())
        ran = Counter(provider for event in events if (provider := event.get("args", {}).get("provider")))
        if not ran[self._provider]:
            raise ArtifactError(
                f"onnxruntime has no code of {self._provider} for any operator of the model, and runs all of it on"
                " the processor: leave out devices"
            )
        if elsewhere := sum(ran.values()) - ran[self._provider]:
            share = elsewhere / sum(ran.values())
            print(
                f"{share:.0%} of the model's operators run on the processor, not by {self._provider}", flush=True
            )


LIBRARY = OnnxOnDevice()
