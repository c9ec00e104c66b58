"""What an image name means on this server: a built-in runtime, or a command. Pure.

Commands come only from the server's own table, never over the wire. A table in YAML::

    images:
      registry.example/fraud:*:            # a name, or a pattern (* and ? match any characters)
        command: [/srv/fraud/serve, --quiet]
        environment: {WORKERS: "1"}        # defaults; the container's Environment wins
      our-xgboost:
        runtime: xgboost

    trusted:                               # see ``trust``
    - data: s3://models/approved/
      trust: [pickle]

Built in, and looked up after the table: AWS's own XGBoost and scikit-learn images of any account, region
and tag, and ``tidegate/`` with the name of a runtime.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

import yaml

from tidegate.domain.errors import Invalid, StartupError
from tidegate.serving.contract.trust import Trusted, parse_trusted


class RuntimeKind(StrEnum):
    XGBOOST = "xgboost"
    SAGEMAKER_XGBOOST = "sagemaker-xgboost"
    """The same, with the forms of AWS's container."""
    ONNX = "onnx"
    LIGHTGBM = "lightgbm"
    SKLEARN = "sklearn"
    PYTORCH = "pytorch"
    MLFLOW = "mlflow"
    GGUF = "gguf"
    SHAP = "shap"
    SCRIPT = "script"
    PYTHON = "python"
    AUTO = "auto"
    """Chosen by what the model data holds."""
    PROGRAM = "program"


@dataclass(frozen=True)
class RuntimeChoice:
    """``command`` and ``environment`` are those of a program; the command is an argv, no shell."""

    kind: RuntimeKind
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageTable:
    """Image name or pattern -> what runs it, in the order of the file."""

    entries: dict[str, RuntimeChoice] = field(default_factory=dict)
    trusted: tuple[Trusted, ...] = ()


BUILT_IN = {
    "tidegate/xgboost": (re.compile(r"tidegate/xgboost(:[\w.-]+)?"), RuntimeKind.XGBOOST),
    "<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-xgboost": (
        re.compile(
            r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/(sagemaker-)?xgboost(:[\w.-]+)?(@sha256:\w+)?"
        ),
        RuntimeKind.SAGEMAKER_XGBOOST,
    ),
    "tidegate/xgboost-shap": (re.compile(r"tidegate/xgboost-shap(:[\w.-]+)?"), RuntimeKind.SHAP),
    "tidegate/onnx": (re.compile(r"tidegate/onnx(:[\w.-]+)?"), RuntimeKind.ONNX),
    "tidegate/lightgbm": (re.compile(r"tidegate/lightgbm(:[\w.-]+)?"), RuntimeKind.LIGHTGBM),
    "tidegate/sklearn": (re.compile(r"tidegate/sklearn(:[\w.-]+)?"), RuntimeKind.SKLEARN),
    "<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-scikit-learn": (
        re.compile(
            r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?"
            r"/sagemaker-scikit-learn(:[\w.-]+)?(@sha256:\w+)?"
        ),
        RuntimeKind.SKLEARN,
    ),
    "tidegate/pytorch": (re.compile(r"tidegate/pytorch(:[\w.-]+)?"), RuntimeKind.PYTORCH),
    "tidegate/mlflow": (re.compile(r"tidegate/mlflow(:[\w.-]+)?"), RuntimeKind.MLFLOW),
    "<account>.dkr.ecr.<region>.amazonaws.com/mlflow-pyfunc": (
        re.compile(
            r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/mlflow-pyfunc(:[\w.-]+)?(@sha256:\w+)?"
        ),
        RuntimeKind.MLFLOW,
    ),
    "tidegate/gguf": (re.compile(r"tidegate/gguf(:[\w.-]+)?"), RuntimeKind.GGUF),
    "tidegate/script": (re.compile(r"tidegate/script(:[\w.-]+)?"), RuntimeKind.SCRIPT),
    "tidegate/python": (re.compile(r"tidegate/python(:[\w.-]+)?"), RuntimeKind.PYTHON),
    "tidegate/auto": (re.compile(r"tidegate/auto(:[\w.-]+)?"), RuntimeKind.AUTO),
}
"""How each built-in name is shown to people, what it matches, what runs it."""

_CONTROLLING = re.compile(
    r"PATH|IFS|ENV|BASH_ENV|SHELLOPTS|LD_.*|DYLD_.*|GCONV_PATH|PYTHON.+|PERL5?(LIB|OPT|DB)|RUBY(LIB|OPT)|NODE_(OPTIONS|PATH)"
    r"|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|GIT_.*|PORT|TIDEGATE_(?!TRUST$).*|SAGEMAKER_(BIND_TO_PORT|SAFE_PORT_RANGE)"
)
"""Names that decide what a command loads or where it listens: the table may set them, a request may not.
TIDEGATE_TRUST is judged by itself, against the server's settings."""


def resolve(image: str, table: ImageTable) -> RuntimeChoice:
    """What runs ``image``: an exact entry of the table, else its first matching pattern, else a built-in.

    Raises Invalid, with what the table has, for a name that nothing here knows."""
    exact = table.entries.get(image)
    if exact is not None:
        return exact
    for pattern, choice in table.entries.items():
        if fnmatchcase(image, pattern):
            return choice
    for matches, kind in BUILT_IN.values():
        if matches.fullmatch(image):
            return RuntimeChoice(kind)
    known = ", ".join([*BUILT_IN, *table.entries])
    raise Invalid(
        f"image {image!r} is not in this server's table of images"
        " (a real container would need podman or Docker, which is not supported yet);"
        f" use one of: {known}; or add it to the table with a command"
    )


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises Invalid for a variable that would change which program runs; such ones belong in the table."""
    for name in environment:
        if _CONTROLLING.fullmatch(name):
            raise Invalid(f"environment variable {name} is set by the server and cannot be given with a model")


_EXPECTED = "expected one key 'images' that maps image names to what runs them"


def parse_table(text: str, origin: str) -> ImageTable:
    """The table in a YAML text; ``origin`` names it in errors. Raises StartupError."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StartupError(f"{origin} is not YAML: {' '.join(str(error).split())}") from None
    if document is None:
        return ImageTable()
    if not isinstance(document, dict) or not document or not set(document) <= {"images", "trusted"}:
        raise StartupError(f"{origin}: {_EXPECTED}, and maybe 'trusted'")
    images = document.get("images", {})
    if not isinstance(images, dict):
        raise StartupError(f"{origin}: {_EXPECTED}")
    entries = {_name(key, origin): _entry(key, entry, origin) for key, entry in images.items()}
    return ImageTable(entries, parse_trusted(document.get("trusted", []), origin))


def _name(key: object, origin: str) -> str:
    if not isinstance(key, str) or not key or key.split() != [key]:
        raise StartupError(f"{origin}: image name {key!r} must be a text without spaces")
    return key


def _entry(name: object, entry: object, origin: str) -> RuntimeChoice:
    where = f"{origin}: image {name!r}"
    if not isinstance(entry, dict):
        raise StartupError(f"{where} must be a mapping with 'command' or 'runtime'")
    unknown = set(entry) - {"command", "environment", "runtime"}
    if unknown:
        raise StartupError(
            f"{where}: unknown key {sorted(map(str, unknown))[0]!r}; use command, environment, runtime"
        )
    if ("command" in entry) == ("runtime" in entry):
        raise StartupError(f"{where} must have either 'command' or 'runtime'")
    if "runtime" in entry:
        return _built_in(entry, where)
    command = entry["command"]
    if not isinstance(command, list) or not command or not all(isinstance(part, str) and part for part in command):
        raise StartupError(f"{where}: command must be a list of texts, such as [/srv/fraud/serve, --quiet]")
    return RuntimeChoice(RuntimeKind.PROGRAM, tuple(command), _environment(entry.get("environment", {}), where))


def _built_in(entry: dict[str, object], where: str) -> RuntimeChoice:
    names = [kind.value for kind in RuntimeKind if kind is not RuntimeKind.PROGRAM]
    if entry["runtime"] not in names:
        raise StartupError(f"{where}: runtime {entry['runtime']!r} is not one of {', '.join(names)}")
    if "environment" in entry:
        raise StartupError(f"{where}: environment goes with a command, not with a runtime")
    return RuntimeChoice(RuntimeKind(str(entry["runtime"])))


def _environment(given: object, where: str) -> dict[str, str]:
    if not isinstance(given, dict):
        raise StartupError(f"{where}: environment must map names to texts")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise StartupError(f"{where}: environment {name!r} must be a text; put quotes around it")
    return dict(given)
