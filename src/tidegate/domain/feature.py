"""The manifest of a feature: what it adds to the platform, by name, so that nothing is imported before it is used.

A reference is ``module:attribute``; a module that begins with a dot is relative to the package of the feature. The
loader is ``host/features.py``; the guide is "Add a feature" in CONTRIBUTING.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.domain.access import Access

Reference = str
"""``module:attribute``."""


@dataclass(frozen=True)
class CommandEntry:
    """A command of ``tidegate``. ``help`` is the first line of its docstring, 60 characters at most, so that it fits
    80 columns; ``task`` is the heading under which ``tidegate --help`` lists it."""

    name: str
    """One word; or two, for a command of a group (``access user``), which may be another feature's."""
    reference: Reference
    """A function, or the Typer application of a group of commands. Empty for a group that only such commands make."""
    help: str
    task: str = ""


@dataclass(frozen=True)
class NativeRoute:
    """An operation of tidegate's own API below ``/tidegate/v1``. The handler is a coroutine function of the gateway
    and the request; it is imported with the first request for it."""

    method: str
    path: str
    handler: Reference
    access: Access


class Menu(StrEnum):
    """Place in which the console links to a page."""

    TOP = "top"
    """At the head of every page."""
    LEARN = "learn"
    """The chapters to learn by, which lead from one to the next."""
    PEOPLE = "people"
    """At the foot of every page and in the user's menu, for those who may inspect."""


@dataclass(frozen=True)
class PageLink:
    """A link of the console. ``place``: links of a menu are in this order, by tens."""

    menu: Menu
    place: int
    path: str
    title: str
    question: str = ""
    """What a chapter answers."""
    remark: str = ""
    """One line on a chapter in the overview, unless the overview computes one."""


@dataclass(frozen=True)
class Loop:
    """Work in the background, of a controller that leads."""

    make: Reference
    """A function of ``compose.background.Services`` that returns a ``compose.background.Worker``."""
    seconds: float = 1.0
    """Between two turns; 0: it has no turns, but a rhythm of its own from its start on."""
    offset: float | None = None
    """For turns each second: how far into a second of the clock they begin; None: anywhere."""
    kind: Reference = ""
    """A ``ports.store.Kind``: turns are left out while there is no record of it."""
    prefix: str = ""
    """Of the names by which it is woken, such as of the fleets of jobs: the rest is the name of a record of ``kind``.
    It ends with a dot, since no name of an endpoint has one."""
    setting: str = ""
    """A setting (a field of ``settings.Settings``) without which there is no such work."""


@dataclass(frozen=True)
class Section:
    """A section of the spec file. ``key`` is at the top of the file; that of each model begins with ``model.``. A
    section without a structure is the core's, and is only refused while the feature is off."""

    key: str
    structure: Reference = ""
    """A ``msgspec.Struct``: the keys, and as its docstring the help."""
    build: Reference = ""
    """A function of the checked structure and ``spec.sections.Draft``. It returns what the section asks for and
    raises ``spec.problem.SpecError``."""
    render: Reference = ""
    """The inverse: a function of ``domain.desired.DesiredDeployment`` that returns plain data without defaults, or
    None where a spec would say nothing. Called for a deployment that has the value."""
    value: str = ""
    """The member of the deployment's config or rollout settings that holds what it asks for: ``config.capture``,
    ``deployment.evidence``. Empty: ``sections[key]`` of the deployment does."""
    addresses: tuple[str, ...] = ()
    """Keys of paths, which are relative to the spec file, or addresses."""

    @property
    def part(self) -> str:
        return self.value.partition(".")[0]

    @property
    def member(self) -> str:
        return self.value.partition(".")[2]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature. ``name`` is also the name of its package in ``tidegate.features``."""

    name: str
    summary: str
    """One line for ``tidegate server version --features`` and the documentation."""
    page: str = ""
    """Its page, below ``docs/``."""
    needs: tuple[str, ...] = ()
    """Other features that it imports. A feature is off if one that it needs is off."""
    sections: tuple[Section, ...] = ()
    """Of the spec file. They are refused while the feature is off."""
    operations: Mapping[str, tuple[Reference, ...]] = field(default_factory=dict)
    """Operations of AWS's APIs, by the name of the service: references to ``wire.operation.Operations``."""
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Members of operations of the core that are refused while the feature is off: ``service:operation`` -> names."""
    notes: Reference = ""
    """``wire.member_notes.OperationNotes``: how members of these operations are treated that are not served."""
    kinds: Reference = ""
    """A tuple of ``ports.store.Kind``: the records that it keeps."""
    endpoint_kinds: Reference = ""
    """Those of them that have the name of an endpoint, and are removed with it, also while the feature is off."""
    routes: tuple[NativeRoute, ...] = ()
    pages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Pages of the console and what belongs to them: path -> methods."""
    tabs: tuple[tuple[int, str, str], ...] = ()
    """Of the page of each endpoint: place, path below that page, and title."""
    links: tuple[PageLink, ...] = ()
    """To its pages, in the console's menus."""
    page_routes: Reference = ""
    """A function of ``console.page_context.PageContext`` that returns the guarded routes of these paths. It is
    imported with the first request for one of them."""
    commands: tuple[CommandEntry, ...] = ()
    loops: tuple[Loop, ...] = ()
    hooks: Mapping[str, Reference] = field(default_factory=dict)
    """By the name of an extension point (``HOOKS``): what the feature has for it. Those that begin with ``worker_``
    are loaded in instances, where code of the control plane may not be imported: what they refer to is in the
    package ``worker`` of the feature."""


HOOKS: Mapping[str, str] = {
    "endpoint": "`service/endpoint_extension.py` `EndpointExtension`: what it does as an endpoint is deployed,"
    " updated, deleted and described",
    "endpoint_cards": "a function of `PageContext` that returns `console/endpoint_card.py` `EndpointCard`s: parts of"
    " the page of each endpoint and of its card to print, with a template `<name>_card.html`",
    "endpoint_columns": "a function of `PageContext` that returns `console/list_query.py` `ListColumn`s: columns of"
    " the list of endpoints and of its files",
    "config_member": "`wire/config_members.py` `ConfigMember`: a member of CreateEndpointConfig, which is refused"
    " without it",
    "check_many_models": "a function of a `ContainerDefinition` of many models, which raises Invalid; without it such"
    " a container is refused",
    "check_service": "a function of a `ContainerDefinition` that is a service, and of the settings, which raises"
    " Invalid; without it such a container is refused",
    "check_machine": "a coroutine function of containers (`ContainerDefinition`) and the settings, which returns"
    " `ports/target.py` `CheckFinding`s for `target doctor`",
    "check_assurance": "a function of a `DesiredDeployment` with an assurance, which raises Invalid if a harm cannot"
    " be ruled out in time; without it nothing is refused for that",
    "spec_questions": "a function of what asks one question (question, default) and of the share of a rollout's first"
    " stage, which returns sections of a spec by the comment on them, for `spec init`",
    "check_signal": "a function of a `Signal` and of the settings, which raises Invalid; without it an alarm on such"
    " a signal is refused",
    "worker_many_models": "a coroutine function of `ReplicaSpec`, `ContainerSpec` and what opens one model, which"
    " returns the engine; without it the instance fails and says why",
    "worker_container": "a coroutine function of `ReplicaSpec`, `ContainerSpec`, what is called when it dies and the"
    " deadline, which returns the engine of a container image; without it the instance fails and says why",
    "worker_container_image": "a coroutine function of `ReplicaSpec`, `ContainerSpec` and what is told how far it is,"
    " that fetches the container's image, before `worker_container`",
    "pin_image": "a coroutine function of the name of a container image and the settings, which returns the name with"
    " the digest that its tag stands for; without it names stay as they are",
    "resolve_model": "a coroutine function of a registry's address of a model and of `compose/background.py`"
    " `Services`, which returns a `PinnedModel`; without it such an address is refused",
    "worker_service": "like `worker_container`, for a service that runs already",
    "worker_captures": "a function of `ReplicaSpec` and what takes notes, which returns `serving/front/captures.py`"
    " `Captures`",
    "worker_protocol": "a function of `ReplicaSpec` and `Responses` that returns `serving/front/further_protocol.py`"
    " `FurtherProtocol`: requests of another protocol, as those of the native API",
    "proxy_rules": "a function of `proxy/options.py` `Options` that returns `FurtherRules`:"
    " what it adds to the public frontend",
    "worker_traced_server": "a subclass of `serving/front/server.py` `Server`, for instances that trace",
    "metrics": "`service/prometheus.py` `MetricSource`: metrics of the Prometheus page",
    "connection_protocol": "a function of the gateway that makes the protocol of a connection (`asyncio.Protocol`),"
    " which takes requests before the ASGI application; one feature has it",
    "native_operations": "operations of the native API that its pages serve, for the reference: method, path, access,"
    " summary, and the type of its body",
    "taggable": "`wire/sagemaker_tags.py`: kinds of its records that have tags",
    "check_settings": "a function of the settings that raises StartupError, before a controller touches anything",
    "label_archive": "a `ports/label_archive.py` `LabelArchive`; backups ask for it also while the feature is off",
    "restore": "a coroutine function of settings and installation that ends what works on the database and outlives"
    " controllers, before a backup is restored; also while the feature is off",
    "rollout_observer": "a function of `compose/background.py` `Services` that returns a"
    " `reconcile/rollout_observers.py` `RolloutObserver`; without it a rollout that rests on one goes no further",
    "check_containers": "a function of the transaction and containers that raises Invalid for one that may not run",
    "package_containers": "a function that finds the containers of a model package",
    "event_shapes": "shapes of its events in the feed of events",
    "page_work": "a function that lists `console/page_process.py` `PageWork`: what its pages compute as they are"
    " opened by a link, which is computed before anybody asks",
    "compare_shadow": "a function of an endpoint, a time and whether JSON is asked for, which prints what `compare"
    " --shadow` does",
    "resume": "a function of the transaction that says whether an earlier process left something open",
}
"""Extension points of the core -> what a feature refers to there. Without any, the core does the default."""
