"""The installed packages that a function needs, and their files.

They come from the environment that tidegate itself runs in, so a function scores with the versions that were tested
with it. Lambda has the same machine type and Python version, and a C library of at least 2.34 (Amazon Linux 2023).
"""

import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name

from tidegate.domain.errors import TargetRefused
from tidegate.host.features import features

BASE = ("msgspec", "httptools", "packaging")
"""What the serving code imports, whatever the model."""
PROVIDED = frozenset({"botocore", "boto3", "s3transfer", "jmespath", "python-dateutil", "urllib3", "six"})
"""What Lambda's own runtime for Python has."""
PACKAGES = ("domain", "host", "http1", "personal_data", "serving", "storage", "transform")
"""The packages of tidegate that serving imports, beside those of features."""
WORKER = "worker_"
"""How extension points of serving begin."""
GLIBC = (2, 34)
"""Of Amazon Linux 2023."""
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
"""Name of a machine in wheels -> in Lambda's API."""
_LEFT_OUT = frozenset({"tests", "testing", "__pycache__", "include"})
"""Folders that no prediction needs."""
_LEFT_OUT_ENDINGS = (".pyi", ".pxd", ".pyx", ".c", ".h", ".hpp", ".a", ".lib")
_NEVER = (".pyc", ".dist-info/RECORD")
"""Bytecode is of this machine's paths and times, and lists of files are for installers."""
_KEPT = ("numpy/testing/", "scipy/_lib/array_api_compat/", "numpy/_core/tests/_natype.py")
"""Parts of left-out folders that the packages import themselves."""


@dataclass(frozen=True)
class InstalledPackage:
    """``files``: name in the package -> file on this machine."""

    name: str
    files: Mapping[str, Path]

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())


def runtime_name() -> str:
    """Lambda's name for this Python."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def architecture() -> str:
    """Return Lambda's name of this machine's architecture. Raises TargetRefused if packages of this machine do not
    run at Lambda."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ARCHITECTURES:
        raise TargetRefused(
            f"packages of {sys.platform} on {machine} do not run at Lambda: deploy from Linux on x86_64 or aarch64,"
            " or use a container image"
        )
    return ARCHITECTURES[machine]


def collect(extra: str) -> list[InstalledPackage]:
    """tidegate's serving code, and what it needs with this extra of its own. Raises TargetRefused."""
    names = [*BASE, *(_extra_requirements(extra) if extra else ())]
    found = [_own_code()]
    for name, distribution in sorted(_closure(names).items()):
        _check_wheel(name, distribution)
        found.append(InstalledPackage(name, dict(_files(distribution))))
    return found


def _own_code() -> InstalledPackage:
    import_root = Path(__file__).parents[2]
    files = {f"tidegate/{name}": import_root / name for name in ("__init__.py", "features/__init__.py")}
    for package in (*PACKAGES, *_features_of_workers()):
        for path in sorted((import_root / package).rglob("*.py")):
            files[f"tidegate/{path.relative_to(import_root).as_posix()}"] = path
    return InstalledPackage("tidegate", files)


def _features_of_workers() -> Iterator[str]:
    """Folders of the features that serving uses."""
    for one in features():
        if any(point.startswith(WORKER) for point in one.feature.hooks):
            yield f"features/{one.feature.name}"


def _extra_requirements(extra: str) -> list[str]:
    return [
        requirement.name
        for requirement in map(Requirement, metadata.requires("tidegate") or ())
        if requirement.marker is not None
        and not requirement.marker.evaluate({"extra": ""})
        and requirement.marker.evaluate({"extra": extra})
    ]


def _closure(names: Iterable[str]) -> dict[str, metadata.Distribution]:
    """The packages and all that they require. Raises TargetRefused for one that is not installed."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found or name in PROVIDED:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise TargetRefused(
                f"package {name} is not installed here, and the function needs it: pip install {name}"
            ) from None
        for text in found[name].requires or ():
            required = Requirement(text)
            if required.marker is None or required.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(required.name))
    return found


def _check_wheel(name: str, distribution: metadata.Distribution) -> None:
    """Check that a package runs at Lambda. Raises TargetRefused for compiled code that needs a newer C library than
    Lambda has."""
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tags = [tag for line in lines if line.startswith("Tag: ") for tag in parse_tag(line[5:])]
    if not any(tag.platform == "any" or _runs_at_lambda(tag.platform) for tag in tags):
        shown = ", ".join(sorted({tag.platform for tag in tags})) or "built on this machine"
        raise TargetRefused(
            f"package {name} ({shown}) may not run at Lambda, which has glibc {GLIBC[0]}.{GLIBC[1]}: install a"
            " manylinux wheel of it, or use a container image"
        )


def _runs_at_lambda(tag: str) -> bool:
    """``tag``: of a wheel's platform, such as ``manylinux_2_28_x86_64``."""
    legacy = {"manylinux1": "manylinux_2_5", "manylinux2010": "manylinux_2_12", "manylinux2014": "manylinux_2_17"}
    for old, new in legacy.items():
        tag = tag.replace(f"{old}_", f"{new}_")
    parts = tag.split("_", 3)
    if len(parts) != 4 or parts[0] != "manylinux":
        return False
    return (int(parts[1]), int(parts[2])) <= GLIBC and parts[3] == platform.machine()


def _files(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    for file in distribution.files or ():
        name, path = file.as_posix(), Path(str(file.locate()))
        if name.startswith(("..", "/")) or not path.is_file() or _is_left_out(name):
            continue
        yield name, path


def _is_left_out(name: str) -> bool:
    if name.endswith(_NEVER):
        return True
    if name.startswith(_KEPT):
        return False
    return name.endswith(_LEFT_OUT_ENDINGS) or not _LEFT_OUT.isdisjoint(name.split("/")[:-1])
