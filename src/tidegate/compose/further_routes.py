"""Routes beside the platform's own API that take time to import: the planner, labels, computations for pages, and the
console's pages but for the first ones."""

import sys
from collections.abc import Mapping

from tidegate.advisor.planner import api as planner_api
from tidegate.advisor.quality import api as labels_api
from tidegate.console import (
    account_page,
    audit_page,
    chat_page,
    compute_api,
    cost_reader,
    insight_pages,
    learn_pages,
    live_challenge_pages,
    openid_pages,
    pages,
    recommender_pages,
    summary_pages,
    users_page,
)
from tidegate.console.computed import ComputedPages
from tidegate.console.lab import pages as lab_pages
from tidegate.console.lab.desk import LabDesk
from tidegate.console.lab.training import Trainer
from tidegate.console.live_challenges.driver import LiveChallenges
from tidegate.console.live_runs.keeper import LiveRuns
from tidegate.console.live_stream import LiveStreams
from tidegate.gateway import account, native, people
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute

TRAIN = (sys.executable, "-m", "tidegate.examples.training_process")


def further_routes(
    gateway: Gateway, environment: Mapping[str, str], runs: LiveRuns, streams: LiveStreams, warm: bool = False
) -> list[GuardedRoute]:
    """``environment``: of the processes that compute for a page; ``warm``: whether to compute ahead what pages show
    first."""
    lab = LabDesk(gateway, runs, Trainer(TRAIN, environment))
    desk = compute_api.ComputePool(environment)
    computed, live = ComputedPages(desk), LiveChallenges(gateway, runs)
    if warm:
        computed.begin_warming(gateway)
    return [
        *planner_api.routes(gateway),
        *labels_api.routes(gateway),
        *compute_api.routes(gateway, desk),
        *native.routes(gateway, cost_reader.ROUTES),
        *openid_pages.routes(gateway),
        *audit_page.routes(gateway),
        *native.routes(gateway, people.ROUTES),
        *native.routes(gateway, account.ROUTES),
        *users_page.routes(gateway),
        *account_page.routes(gateway),
        *chat_page.routes(gateway),
        *insight_pages.routes(gateway, streams),
        *pages.routes(gateway, computed),
        *learn_pages.routes(gateway, computed, live),
        *live_challenge_pages.routes(gateway, live, streams),
        *recommender_pages.routes(gateway),
        *summary_pages.routes(gateway),
        *lab_pages.routes(gateway, lab, streams),
    ]
