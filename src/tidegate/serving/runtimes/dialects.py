"""The dialects in which servers behind a front are called, by the protocol that the model names."""

from collections.abc import Iterable

from tidegate.domain.registry import Protocol, Upstream
from tidegate.serving.runtimes.openai_dialect import OpenAIDialect
from tidegate.serving.runtimes.upstream_calls import UpstreamDialect


def make_dialect(upstream: Upstream, headers: Iterable[tuple[bytes, bytes]] = ()) -> UpstreamDialect:
    """Make the dialect of a server. ``headers`` are sent with each request."""
    match upstream.protocol:
        case Protocol.SAGEMAKER:
            return UpstreamDialect(upstream.predict or "/invocations", headers)
        case Protocol.OPENAI:
            return OpenAIDialect(upstream.predict, headers)
        case Protocol.V2:
            from tidegate.serving.runtimes.v2_dialect import V2Dialect  # noqa: PLC0415  # needs numpy

            return V2Dialect(upstream.predict, headers)
