"""How many files this process may have open."""

import resource

MOST = 65_536
"""More than a thousand replicas take; where a limit is of millions, programs that go through all numbers would take
long."""


def allow_many_files() -> None:
    """Raise the limit that counts to the one that it may be raised to. Each replica takes two files of its
    controller, and shells and service managers set 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
