"""Which environment variables may come with a model. Pure."""

import re
from collections.abc import Mapping

from tidegate.domain.errors import Invalid
from tidegate.serving.contract.refusals import read_phrases

_CONTROLLING = re.compile(
    r"PATH|IFS|ENV|BASH_ENV|SHELLOPTS|LD_.*|DYLD_.*|GCONV_PATH|PYTHON.+|PERL5?(LIB|OPT|DB)|RUBY(LIB|OPT)|NODE_(OPTIONS|PATH)"
    r"|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|GIT_.*|PORT|TIDEGATE_(?!(TRUST|BATCH_TABLES)$).*|SAGEMAKER_(BIND_TO_PORT|SAFE_PORT_RANGE)"
)
"""Names that control what a command loads or where it listens: the table may set them, a request may not.
TIDEGATE_TRUST is checked elsewhere, against the server's settings. TIDEGATE_BATCH_TABLES, which transform jobs set,
only starts the process that reads tables early."""


_PORTS = re.compile(r"PORT|SAGEMAKER_(BIND_TO_PORT|SAFE_PORT_RANGE)")


def check_environment(environment: Mapping[str, str], *, contained: bool = False) -> None:
    """Raises Invalid for a variable that would change which program runs: it belongs in the table; and for phrases of
    refusals that cannot be read. ``contained``: for a container of the user's, which chooses its programs itself."""
    controlling = _PORTS if contained else _CONTROLLING
    for name in environment:
        if controlling.fullmatch(name):
            raise Invalid(f"environment variable {name} is set by the server and cannot be given with a model")
    read_phrases(environment)
