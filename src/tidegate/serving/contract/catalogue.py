"""The runtimes: a row for each. Everything else that names runtimes is derived from these rows. Pure.

A row's position is its place in messages and in ``docs/runtimes.md``.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from tidegate.domain.registry import Upstream
from tidegate.serving.contract.runtime import Probe, RuntimeDescriptor, aws_image, tidegate_image

_ROWS = "rows of numbers"
_NEURAL = ("neural_network", "images", "text", "llm")
_FLAVOURS = ("mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm")
_ALL_OPTIONAL = ("sklearn", "pandas", "pyarrow", "matplotlib", "graphviz", "dask")


class RuntimeKind(StrEnum):
    """A member is a row; its value is the row's name."""

    descriptor: RuntimeDescriptor

    def __new__(cls, descriptor: RuntimeDescriptor | str) -> Self:
        """Make a member of a row. (``RuntimeKind("onnx")`` finds the member and does not come here.)"""
        assert isinstance(descriptor, RuntimeDescriptor)
        member = str.__new__(cls, descriptor.name)
        member._value_ = descriptor.name
        member.descriptor = descriptor
        return member

    XGBOOST = RuntimeDescriptor(
        name="xgboost",
        title="XGBoost",
        model_data="one `.ubj` or `.json` file, or `xgboost-model`",
        requests=_ROWS,
        images=(tidegate_image("xgboost"),),
        extra="xgboost",
        certain_files=("xgboost-model", ".ubj"),
        possible_files=(".json",),
        library="xgboost",
        optional_packages=("sklearn",),
        preload=("xgboost",),
        script_framework="xgboost",
        maps_forest=True,
        on_device=True,
        planner_data="model.tar.gz",
    )
    SAGEMAKER_XGBOOST = RuntimeDescriptor(
        name="sagemaker-xgboost",
        title="XGBoost in AWS's container",
        model_data="that of `tidegate/xgboost`",
        requests="the content types of [AWS's container](#awss-xgboost-images)",
        images=(aws_image("sagemaker-xgboost", "(sagemaker-)?xgboost"),),
        extra="xgboost",
        script_framework="xgboost",
        maps_forest=True,
    )
    SHAP = RuntimeDescriptor(
        name="shap",
        title="SHAP values of an XGBoost model",
        model_data="that of `tidegate/xgboost`",
        requests="rows of numbers; answers are SHAP values, see [endpoints](endpoints.md)",
        images=(tidegate_image("xgboost-shap"),),
        extra="xgboost",
        library="xgboost",
        optional_packages=("sklearn",),
        planner_data="model.tar.gz",
    )
    ONNX = RuntimeDescriptor(
        name="onnx",
        title="ONNX",
        model_data="one `.onnx` file",
        requests=_ROWS,
        images=(tidegate_image("onnx"),),
        extra="onnx",
        certain_files=(".onnx",),
        preload=("onnxruntime",),
        preload_module=True,
        on_device=True,
        planner_data="model.tar.gz",
        hardware=("cpu", "gpu"),
        model_kinds=("tabular", *_NEURAL),
    )
    LIGHTGBM = RuntimeDescriptor(
        name="lightgbm",
        title="LightGBM",
        model_data="one `.txt` or `.lgb` file",
        requests=_ROWS,
        images=(tidegate_image("lightgbm"),),
        extra="lightgbm",
        certain_files=(".lgb",),
        possible_files=(".txt",),
        library="lightgbm",
        optional_packages=_ALL_OPTIONAL,
        preload=("lightgbm",),
        probe=Probe.BOUNDED,
        planner_data="model.tar.gz",
    )
    SKLEARN = RuntimeDescriptor(
        name="sklearn",
        title="scikit-learn",
        model_data="one `.skops` file; a pickle, or types that skops does not trust (need `pickle` trust)",
        requests="rows of numbers and text",
        images=(tidegate_image("sklearn"), aws_image("sagemaker-scikit-learn")),
        extra="sklearn",
        certain_files=(".skops", ".joblib", ".pkl", ".pickle"),
        preload=("sklearn",),
        preload_module=True,
        script_framework="sklearn",
        planner_data="model.tar.gz",
        model_kinds=("tabular", "neural_network", "text"),
    )
    PYTORCH = RuntimeDescriptor(
        name="pytorch",
        title="PyTorch",
        model_data="one `.pt`, `.pth` or `.ts` file of TorchScript, or one `.pt2` of `torch.export`"
        " (needs `pickle` trust)",
        requests="tables, tensors",
        images=(tidegate_image("pytorch"),),
        extra="pytorch",
        certain_files=(".pt", ".pt2", ".pth", ".ts"),
        preload=("torch",),
        preload_module=True,
        fork_group="pytorch",
        on_device=True,
        planner_data="model.tar.gz",
        hardware=("cpu", "gpu", "inferentia"),
        model_kinds=("tabular", *_NEURAL),
    )
    MLFLOW = RuntimeDescriptor(
        name="mlflow",
        title="MLflow",
        model_data="an MLflow model folder (needs `pickle` trust)",
        requests="as MLflow's scoring server",
        images=(tidegate_image("mlflow"), aws_image("mlflow-pyfunc")),
        extra="mlflow",
        folder_file="MLmodel",
        preload=("xgboost", "lightgbm", "sklearn.ensemble", "mlflow.pyfunc", *_FLAVOURS),
        preload_module=True,
        fork_group="mlflow",
        planner_data="model.tar.gz",
        hardware=("cpu", "gpu"),
        model_kinds=("tabular", *_NEURAL),
    )
    GGUF = RuntimeDescriptor(
        name="gguf",
        title="GGUF",
        model_data="one `.gguf` file",
        requests="chat and text completions, also as a stream",
        images=(tidegate_image("gguf"),),
        extra="gguf",
        certain_files=(".gguf",),
        probe=Probe.CRASHES,
        on_device=True,
        planner_data="model.gguf",
        hardware=("cpu", "gpu"),  # llama.cpp has no backend for Neuron
        model_kinds=("text", "llm"),
    )
    SCRIPT = RuntimeDescriptor(
        name="script",
        title="Script",
        model_data="`code/inference.py` and what it reads; needs `code` trust",
        requests="what its functions take",
        images=(tidegate_image("script"),),
        extra="script",
        runs_code=True,
        uses_devices=True,
    )
    PYTHON = RuntimeDescriptor(
        name="python",
        title="Python",
        model_data="a class or function in `code/` or installed; needs `code` trust",
        requests="JSON, or what it says",
        images=(tidegate_image("python"),),
        runs_code=True,
        uses_devices=True,
        planner_data="model.tar.gz",
        hardware=("cpu", "gpu", "inferentia"),
        model_kinds=("tabular", *_NEURAL),
    )
    AUTO = RuntimeDescriptor(
        name="auto",
        title="Auto",
        model_data="that of any runtime, which [its files](#auto-tidegateauto) choose",
        requests="what the chosen runtime takes",
        images=(tidegate_image("auto"),),
        maps_forest=True,
    )
    """Chosen by what the model data holds."""
    PROGRAM = RuntimeDescriptor(
        name="program",
        title="Program",
        model_data="whatever your [program](images.md) reads",
        requests="what it takes",
        outside=True,
        uses_devices=True,
    )
    """A command from the server's table of images."""
    CONTAINER = RuntimeDescriptor(
        name="container",
        title="Container",
        model_data="whatever your [container image](containers.md) reads",
        requests="what it takes",
        engine="worker_container",
        fetch="worker_container_image",
        outside=True,
        uses_devices=True,
    )
    """A container image of the user's."""
    SERVICE = RuntimeDescriptor(
        name="service",
        title="Service",
        model_data="none: a [service](services.md) that runs already",
        requests="what it takes",
        engine="worker_service",
        outside=True,
    )
    """An HTTP service that runs already."""


@dataclass(frozen=True)
class RuntimeChoice:
    """The runtime that runs an image. ``command`` and ``environment`` are a program's; the command is an argv, no
    shell. ``image`` is a container's; ``upstream`` is that of a container or a service."""

    kind: RuntimeKind
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    image: str = ""
    upstream: Upstream | None = None
