"""Paths that are tidegate's own; all others belong to AWS's protocols."""

NATIVE = "/tidegate/v1"
HEALTH = "/healthz"
READY = "/readyz"
"""Whether requests may be sent to this controller: it leads and answers, or it stands by."""
METRICS = "/metrics"
CONSOLE = "/console"
LOGIN = f"{CONSOLE}/login"
WAITING = f"{CONSOLE}/waiting"
"""Of the page that stands for another one; nothing is there itself."""
UPLOADS = f"{NATIVE}/uploads/"
"""Files, which are written to disk as they arrive; see ``uploads.py``."""


def is_native_path(path: str) -> bool:
    """Whether the native API serves the path; all other paths use AWS's protocols."""
    return path in (HEALTH, READY, METRICS, "/tidegate", CONSOLE) or path.startswith(("/tidegate/", f"{CONSOLE}/"))
