"""Pass AWS credentials from the server's environment to its processes that call S3 or SNS.

The controller writes them to a file that only its owner can read, and passes its path. AWS's other credential sources
(profiles, instance roles) work in each process as usual, with lower priority, as they have after environment
variables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.host.atomic_write import write_atomically
from tidegate.host.late_import import load_module

FILE_VARIABLE = "TIDEGATE_AWS_KEYS_FILE"
"""Variable with the path of the file. A server that got one itself, such as that of a recommendation job, passes it
on."""


def write(path: Path, given: Mapping[str, str]) -> None:
    """Write the variables to ``path``, or remove the file if there are none. Raises OSError."""
    if given:
        write_atomically(path, json.dumps(dict(given)).encode())
    else:
        path.unlink(missing_ok=True)


def session(environ: Mapping[str, str]) -> Any:
    """Botocore session that uses the credentials. ``environ``: the process's environment."""
    made: Any = load_module("botocore.session").get_session()
    given = _read(environ.get(FILE_VARIABLE, ""))
    if given:
        credentials: Any = load_module("botocore.credentials")
        resolver = made.get_component("credential_provider")
        merged = {**environ, **given}
        resolver.insert_before("env", credentials.EnvProvider(environ=merged))
        resolver.insert_before("container-role", credentials.ContainerProvider(environ=merged))
    return made


def _read(path: str) -> dict[str, str]:
    """Empty if the file no longer exists: the server was restarted without credentials."""
    try:
        found = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
