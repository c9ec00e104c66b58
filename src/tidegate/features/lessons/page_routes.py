"""The pages to learn by: the lab, the challenges and everything that is computed."""

import sys

from tidegate.console.page_context import PageContext
from tidegate.features.lessons import learn_pages, live_challenge_pages, pages
from tidegate.features.lessons.computed import ComputedPages
from tidegate.features.lessons.lab import pages as lab_pages
from tidegate.features.lessons.lab.desk import LabDesk
from tidegate.features.lessons.lab.training import Trainer
from tidegate.features.lessons.live_challenges.driver import LiveChallenges
from tidegate.features.lessons.live_runs.keeper import LiveRuns
from tidegate.features.rehearse.page_routes import compute_pool
from tidegate.gateway.guarded_routes import GuardedRoute

OPERATIONS = (*live_challenge_pages.OPERATIONS, *lab_pages.OPERATIONS)
"""Of the native API, for the reference."""
TRAIN = (sys.executable, "-m", "tidegate.features.examples.training_process")


def page_routes(context: PageContext) -> list[GuardedRoute]:
    gateway, streams, runs = context.gateway, context.streams, LiveRuns(context.gateway)
    lab = LabDesk(gateway, runs, Trainer(TRAIN, context.environment))
    computed, live = ComputedPages(compute_pool(context)), LiveChallenges(gateway, runs)
    if context.warm:
        computed.begin_warming(gateway)
    found = [
        *pages.routes(gateway, computed),
        *learn_pages.routes(gateway, computed, live),
        *live_challenge_pages.routes(gateway, live, streams),
        *lab_pages.routes(gateway, lab, streams),
    ]
    context.starts.append(runs.start)
    return found
