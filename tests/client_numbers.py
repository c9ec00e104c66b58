"""The number by which the proxy keeps a client on one version, computed without it."""

import hashlib

from tidegate.domain.traffic import WHOLE


def client_number(value: str, salt: str) -> int:
    """From 0 to 9,999."""
    return (
        int(hashlib.sha1(f"{value}:{salt}".encode(), usedforsecurity=False).hexdigest()[:8], 16) * WHOLE // 2**32
    )
