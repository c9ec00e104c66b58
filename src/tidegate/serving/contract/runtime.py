"""Descriptions of runtimes, known to the platform without importing them. Pure."""

from dataclasses import dataclass
from enum import StrEnum

TABLES = "tables"
"""The fork server of small libraries."""
_TAG = r"(:[\w.-]+)?"
_REGISTRY = r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/"


class Probe(StrEnum):
    """Whether a child process loads a model first, because a damaged file can crash the library."""

    NONE = "none"
    CRASHES = "crashes"
    """The child may take what the model's settings say."""
    BOUNDED = "bounded"
    """The child has limits on time and memory."""


@dataclass(frozen=True)
class RuntimeImage:
    """``shown`` to people; ``pattern``: a regular expression for the whole name."""

    shown: str
    pattern: str


@dataclass(frozen=True, kw_only=True)
class RuntimeDescriptor:
    """One row of the catalogue. Texts are Markdown, for the table in ``docs/runtimes.md``."""

    name: str
    """Value of ``runtime`` in a table of images, and the module in ``serving/runtimes``."""
    title: str
    model_data: str
    requests: str
    images: tuple[RuntimeImage, ...] = ()
    extra: str = ""
    """Extra in ``pyproject.toml`` that installs the library."""
    certain_files: tuple[str, ...] = ()
    """Names, or endings that begin with a dot, of files that belong to this runtime alone."""
    possible_files: tuple[str, ...] = ()
    """Endings that other files have as well: they count where there is no certain file."""
    folder_file: str = ""
    """A file that describes the whole model folder."""
    library: str = ""
    """Imported without ``optional_packages``, which it would import only because they are installed."""
    optional_packages: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    """Packages that the fork server imports, in this order."""
    preload_module: bool = False
    """The fork server imports the runtime's own module, too."""
    fork_group: str = TABLES
    """The fork server that imports them; a large library has one of its own."""
    probe: Probe = Probe.NONE
    script_framework: str = ""
    """Framework whose functions replace the missing ones, where the data bring a script that is to be run."""
    runs_code: bool = False
    """It does nothing but run a model's code, which needs ``code`` trust."""
    engine: str = ""
    """Extension point of the feature that opens its engine: a coroutine function of the replica's specification, the
    container, what is called when it dies, and until when it may take. Empty: the worker opens it itself."""
    fetch: str = ""
    """Extension point of the feature that fetches what it runs, beside the model data: a coroutine function of the
    replica's specification and the container."""
    outside: bool = False
    """The model is served by another process or machine than the worker's own, whatever it is."""
    uses_devices: bool = False
    """What it runs finds the accelerators of the replica by itself."""
    on_device: bool = False
    """Its model goes on a device where the library can use one: a module of its name in ``runtimes/devices``."""
    maps_forest: bool = False
    """Its model may be a forest that later starts map into memory."""
    planner_data: str = ""
    """File name of model data in the planner's specs; empty: the planner does not propose this runtime."""
    hardware: tuple[str, ...] = ("cpu",)
    """What the library runs on, for the planner: ``cpu``, ``gpu``, ``inferentia``."""
    model_kinds: tuple[str, ...] = ("tabular",)
    """Kinds of model that it serves, as the planner asks for them."""


def tidegate_image(name: str) -> RuntimeImage:
    """Return the image ``tidegate/NAME`` with any tag."""
    return RuntimeImage(f"tidegate/{name}", f"tidegate/{name}{_TAG}")


def aws_image(name: str, pattern: str = "") -> RuntimeImage:
    """An image in AWS's registries: any account, region, tag and digest. ``pattern``: of the name, if not itself."""
    shown = f"<account>.dkr.ecr.<region>.amazonaws.com/{name}"
    return RuntimeImage(shown, rf"{_REGISTRY}{pattern or name}{_TAG}(@sha256:\w+)?")
