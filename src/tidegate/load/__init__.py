"""A load generator without coordinated omission: open loop, constant rate, latency from the intended start.

It knows HTTP/1.1 and two headers of the data plane, and nothing else of tidegate. The demo, the benchmarks and the
chaos tests use it; ``python -m tidegate.load URL`` runs it by hand.
"""

from tidegate.load.generator import LoadGenerator, Payload
from tidegate.load.report import FailedRequest, LoadReport, Second, Tally

__all__ = ["FailedRequest", "LoadGenerator", "LoadReport", "Payload", "Second", "Tally"]
