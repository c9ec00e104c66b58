"""The flowchart as a walk of questions: pure, from what was clicked so far to what is shown next."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tidegate.features.planner.planning import what_is_asked

CARRIED: Mapping[tuple[str, bool], Mapping[str, str]] = {
    ("individual", True): {"individual_responses": "yes"},
    ("individual", False): {"individual_responses": "no", "records": "50000"},
    ("large", True): {"payload": "60 MB", "processing_time": "90s"},
    ("large", False): {},
    ("sustained", True): {"pattern": "sustained", "consistent_latency": "yes", "latency": "100ms"},
    ("sustained", False): {"consistent_latency": "no"},
    ("intermittent", True): {"pattern": "intermittent", "shape": "intermittent", "idle_hours": "14"},
    ("intermittent", False): {"pattern": "variable"},
}
"""What an answer of the walk is among the planner's. Figures are a first guess, to be put right there."""

MODES: Mapping[str, str] = {
    "real_time": "An endpoint that is always on answers each request within milliseconds to seconds. You pay for its"
    " instances by the hour, asked or not; autoscaling makes them follow the traffic.",
    "serverless": "Nothing runs, and nothing is paid, until a request comes. The first one after a pause waits for"
    " the start; you pay for memory by the time that requests take.",
    "asynchronous": "Requests wait in a durable queue, and answers are put into a storage. Payloads may have a"
    " gigabyte and work may take an hour; with an empty queue no instance runs.",
    "batch": "A job reads a whole set of records, scores it and ends. There is no endpoint: you pay for the job's"
    " hours alone.",
}


def walked(clicked: Mapping[str, str]) -> dict[str, Any]:
    """``clicked``: question -> yes or no. Answers of questions that the walk does not come to are left out."""
    asked = what_is_asked()
    questions = {one["id"]: one for one in asked["flowchart"]}
    here, taken, carried = next(iter(questions)), list[dict[str, Any]](), dict[str, str]()
    while here in questions and clicked.get(here) in ("yes", "no"):
        question, answer = questions[here], clicked[here]
        before = {step["id"]: step["answer"] for step in taken}
        carried |= CARRIED[here, answer == "yes"]
        taken.append({**question, "answer": answer, "again": urlencode(before)})
        here = question[answer]
    so_far = {step["id"]: step["answer"] for step in taken}
    current = questions.get(here)
    return {
        "taken": taken,
        "current": current
        and {
            **current,
            "number": len(taken) + 1,
            "links": {answer: urlencode({**so_far, here: answer}) for answer in ("yes", "no")},
        },
        "mode": None if current else {"id": here, "title": asked["modes"][here], "about": MODES[here]},
        "carry": urlencode(carried),
        "chart": [
            {
                **one,
                "taken": so_far.get(one["id"]),
                "here": one["id"] == here,
                "leads": {a: asked["modes"].get(one[a]) for a in ("yes", "no")},
            }
            for one in questions.values()
        ],
    }
