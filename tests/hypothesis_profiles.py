"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE: quick (the default), ci, soak.

They hold for every suite: Hypothesis' own limit of 200 ms for an example fails wherever the machine is busy."""

import os

from hypothesis import HealthCheck, settings

COMMON = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("quick", max_examples=60, deadline=None, suppress_health_check=COMMON, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("quick"), max_examples=600)
settings.register_profile("soak", parent=settings.get_profile("quick"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
