"""What pages work out from nothing but their query and the prices, by name: pure functions whose results are JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate.features.lessons import (
    architectures_page,
    challenges_page,
    compute_page,
    overview,
    rolling_page,
    targets_page,
)
from tidegate.features.planner import page as plan_page
from tidegate.features.planner import planning as planner
from tidegate.features.rehearse import page as rehearsal_page
from tidegate.prices import Catalogue

Query = Mapping[str, str]
PAGE_WORK: Mapping[str, Callable[[Query, Catalogue], Any]] = {
    "numbers": lambda query, catalogue: overview.numbers(catalogue),
    "modes": lambda query, catalogue: overview.mode_examples(catalogue),
    "strategies": lambda query, catalogue: overview.strategy_examples(catalogue),
    "examples": lambda query, catalogue: overview.architecture_examples(catalogue),
    "architectures": architectures_page.architectures,
    "compute": compute_page.compute,
    "targets": targets_page.compared,
    "planner": plan_page.planned,
}


def first_views() -> list[tuple[str, Query]]:
    """The work of pages as they are opened by a link, without a reader's own values."""
    opened: list[tuple[str, Query]] = [(name, {}) for name in PAGE_WORK]
    return [*opened, *(("planner", {plan_page.EXAMPLE: name}) for name in planner.examples())]


def first_simulations() -> list[tuple[str, dict[str, Any]]]:
    """What such pages ask of ``compute_process``, the quickest to be looked at first."""
    form = rehearsal_page.form_values({})
    forms = (form, rehearsal_page.second_form(form))
    found = [("simulate", rehearsal_page.simulation_body(one)) for one in forms]
    found += [("simulate", body) for body in rolling_page.simulations()]
    return found + [challenges_page.asked_for({"show": show}) for show in challenges_page.SHOWS]
