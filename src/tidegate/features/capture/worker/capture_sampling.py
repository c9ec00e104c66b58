"""Which requests a worker captures."""

import zlib

from tidegate.domain.traffic import WHOLE
from tidegate.features.capture.worker.recorder import Recorder
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.sampling import EvenSampler


def make_recorder(spec: ReplicaSpec) -> Recorder | None:
    """What captures the requests of this replica; None if it captures nothing."""
    capture = spec.capture
    if capture is None or not capture.plan.enabled or not capture.plan.percent:
        return None
    if capture.plan.percent == 100:
        return Recorder(spec, capture, lambda: True)
    sampler = EvenSampler(capture.plan.percent * WHOLE // 100, zlib.crc32(spec.replica.encode()))
    return Recorder(spec, capture, sampler.take)
