"""Every function, class, method and property of the package is used by the package or a benchmark."""

import re
from pathlib import Path

from vulture import Vulture

from tidegate.cli.commands import ENTRIES
from tidegate.host.features import features

ROOT = Path(__file__).parents[2]
KINDS = {"function", "class", "method", "property", "import"}
CALLED_BY_LIBRARIES = {
    *("connection_lost", "pause_writing", "resume_writing"),  # asyncio
    *(
        "on_message_begin",
        "on_url",
        "on_header",
        "on_headers_complete",
        "on_body",
        "on_message_complete",
    ),  # httptools
    "on_chunk_complete",
    *("process_bind_param", "process_result_value", "downgrade"),  # SQLAlchemy and Alembic
    *("do_GET", "do_POST", "log_message"),  # http.server
    *("capture_signals", "main_loop", "format_commands"),  # uvicorn, click
    *("global_options", "update_prices", "list_prices", "list_users", "list_tokens", "list_examples"),  # Typer
    "get_request_header",  # model code, of its context
    *(
        "first_routes",
        "further_routes",
        "open_streams",
        "LabelFollower",
        "parquet_lines",
        "OtlpSender",
        "MlflowServer",
        "read_lines",
        "parse_harm",
        "write_evidence",
    ),  # imported late, by name
    *("target_help", "run_local", "create_deployment", "update_deployment", "delete_deployment"),  # MLflow
    *("list_deployments", "get_deployment"),  # MLflow
}
FOR_OTHERS = {
    *("Lease", "risk"),
    *("write_infer_request", "read_infer_response", "read_model_metadata"),
}
"""A protocol that nothing names, what property tests compare, and the client's side of the Open Inference Protocol:
for tests, and for programs that speak it."""


def named_by_features() -> set[str]:
    """The attributes that the manifests of features refer to."""
    manifests = [repr(one.feature) for one in features().installed.values()]
    return {name for text in manifests for name in re.findall(r"'[\w.]*:(\w+)'", text)} | {"FEATURE"}


def test_nothing_is_unused() -> None:
    found = Vulture()
    found.scavenge([str(ROOT / folder) for folder in ("src/tidegate", "bench")])
    commands = {entry.reference.partition(":")[2] for _, entry in ENTRIES} | named_by_features()
    known = CALLED_BY_LIBRARIES | FOR_OTHERS | commands
    unused = [
        f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno}: {item.typ} {item.name}"
        for item in found.get_unused_code()
        if item.typ in KINDS and item.name not in known and Path(item.filename).is_relative_to(ROOT / "src")
    ]
    assert unused == []
