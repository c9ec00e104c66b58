"""A worker whose device is pretended: onnxruntime's provider for processors. Once a file named ``lost`` lies beside
the replica file, each call fails as CUDA's do."""

import sys
from pathlib import Path
from typing import Any

from tidegate.serving.__main__ import main
from tidegate.serving.runtimes.devices import onnx


class PretendedDevice(onnx.OnnxOnDevice):
    def opened(self, path: Path, options: Any, guard: Any) -> Any:
        def break_down(run: Any) -> Any:
            def call(*given: Any) -> Any:
                if Path(sys.argv[1]).with_name("lost").exists():
                    raise RuntimeError("CUDA failure 719: unspecified launch failure")
                return run(*given)

            return guard(call)

        return super().opened(path, options, break_down)


onnx.LIBRARY = PretendedDevice("CPUExecutionProvider")
main(sys.argv[1:])
