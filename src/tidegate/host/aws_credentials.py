"""AWS credentials that the server was given in its environment, for those of its processes that talk to S3 or SNS.

The controller writes them into a file that its owner alone can read, and tells these processes where it is. All other
ways by which AWS's libraries find credentials (profiles, roles of the machine) work in each process as ever, after
this one, as they would after the variables.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tidegate.host.atomic_write import write_atomically

FILE_VARIABLE = "TIDEGATE_AWS_KEYS_FILE"
"""Says where the file is. A server that is given one itself, as that of a recommendation job is, passes it on."""


def write(path: Path, given: Mapping[str, str]) -> None:
    """Writes the variables to ``path``; no file where there are none. Raises OSError."""
    if given:
        write_atomically(path, json.dumps(dict(given)).encode())
    else:
        path.unlink(missing_ok=True)


def session(environ: Mapping[str, str]) -> Any:
    """A session of botocore's that finds the credentials. ``environ``: the process's environment."""
    made: Any = import_module("botocore.session").get_session()
    given = _read(environ.get(FILE_VARIABLE, ""))
    if given:
        credentials: Any = import_module("botocore.credentials")
        resolver = made.get_component("credential_provider")
        merged = {**environ, **given}
        resolver.insert_before("env", credentials.EnvProvider(environ=merged))
        resolver.insert_before("container-role", credentials.ContainerProvider(environ=merged))
    return made


def _read(path: str) -> dict[str, str]:
    """None where the file is not there any more: the server was started anew without credentials."""
    try:
        found = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
