"""From what is known of a model to a deployment that can run, with its price and its reasons: pure.

``answers.read`` checks plain data against the questions, ``plan`` decides by the tables in ``data/``, ``document``
makes JSON of it and ``render_spec`` a spec file.
"""

from tidegate.features.planner.answers import PlanAnswers, missing, read
from tidegate.features.planner.document import answers_of, document, example, examples, what_is_asked
from tidegate.features.planner.plan import Plan, monthly, plan, relaxations, search_flips
from tidegate.features.planner.render_spec import render_spec

__all__ = [
    "Plan",
    "PlanAnswers",
    "answers_of",
    "document",
    "example",
    "examples",
    "missing",
    "monthly",
    "plan",
    "read",
    "relaxations",
    "render_spec",
    "search_flips",
    "what_is_asked",
]
