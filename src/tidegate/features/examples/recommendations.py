"""Learning recommendations: how likely an employee is to finish a course. A client asks for twenty.

Entirely synthetic: topics, courses and what people like are drawn by a seeded generator.
"""

from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

from tidegate.features.examples.contract import BEFORE, SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.measures import auc, moved

TOPICS = 6
COURSES = 200
CHOICES = 20
"""Courses that one request compares."""
PARAMETERS = {
    **{"objective": "binary", "num_leaves": 15, "learning_rate": 0.1, "verbose": -1, "num_threads": 1},
    **{"deterministic": True, "force_row_wise": True, "seed": 1},
}


@dataclass(frozen=True)
class Offers:
    """One row per employee and course: what is known of both, and whether it was finished."""

    x: NDArray[np.float32]
    probability: NDArray[np.float64]
    finished: NDArray[np.bool_]


def _generate(count: int, seed: int) -> Offers:
    """``count`` employees with ``CHOICES`` courses each. The catalogue is the same for every seed."""
    catalogue, random = np.random.default_rng(11), np.random.default_rng(seed)
    course_topics = catalogue.dirichlet(np.full(TOPICS, 0.3), COURSES)
    hours, popularity = catalogue.gamma(2.0, 3.0, COURSES), catalogue.normal(0.0, 0.6, COURSES)
    who = np.repeat(np.arange(count), CHOICES)
    course = random.integers(0, COURSES, len(who))
    interests = random.dirichlet(np.full(TOPICS, 0.5), count)[who]
    finished_before = random.poisson(3, count)[who]
    level = random.integers(1, 6, count)[who]
    match = (interests * course_topics[course]).sum(1)
    score = -1.8 + 5.0 * match + popularity[course] - 0.12 * hours[course] + 0.15 * finished_before
    probability = 1 / (1 + np.exp(-score))
    x = np.column_stack(
        (interests, course_topics[course], hours[course], popularity[course], finished_before, level)
    )
    return Offers(x.astype(np.float32), probability, random.random(len(who)) < probability)


def build(folder: Path, scale: float) -> TrainedExample:
    """Train three versions."""
    past, test = _generate(max(400, int(3_000 * scale)), 1), _generate(max(300, int(1_000 * scale)), 2)
    interests = np.arange(TOPICS)
    renumbered = past.x.copy()
    renumbered[:, interests] = past.x[:, np.roll(interests, 1)]
    made = {
        "v1": _train(folder / "v1.txt", _blank(past.x, interests), past.finished, 60),
        "better": _train(folder / "better.txt", past.x, past.finished, 250),
        "worse": _train(folder / "worse.txt", renumbered, past.finished, 250),
    }
    about = {
        "v1": "60 trees on the courses alone: what is popular",
        "better": "250 trees on courses and interests",
        "worse": "250 trees on a table in which the topics of the interests are numbered from another place",
    }
    scores = {name: np.asarray(model.predict(test.x), np.float32) for name, model in made.items()}
    versions = {
        name: TrainedVersion(
            about[name],
            (f"{name}.txt",),
            {
                "precision at 5": precision_at(5, score, test.finished),
                "AUC": auc(score, test.finished),
                "moved": moved(scores[BEFORE[name]], score),
            },
        )
        for name, score in scores.items()
    }
    rows = (
        f"the best five of {CHOICES} courses for each of {len(test.x) // CHOICES:,} synthetic employees: the part of "
        f"them that was finished; who knew the true probabilities would reach "
        f"{precision_at(5, test.probability, test.finished):.3f}"
    )
    return TrainedExample("precision at 5", rows, versions, _requests(test))


def precision_at(count: int, score: NDArray[np.floating], finished: NDArray[np.bool_]) -> float:
    """Part of the ``count`` best of each employee's courses that was finished."""
    best = np.argsort(-score.reshape(-1, CHOICES), axis=1, kind="stable")[:, :count]
    return float(np.take_along_axis(finished.reshape(-1, CHOICES), best, axis=1).mean())


def _train(path: Path, x: NDArray[np.float32], y: NDArray[np.bool_], rounds: int) -> lightgbm.Booster:
    booster = lightgbm.train(PARAMETERS, lightgbm.Dataset(x, y.astype(np.float32)), rounds)
    path.parent.mkdir(parents=True, exist_ok=True)
    booster.save_model(path)
    return booster


def _blank(x: NDArray[np.float32], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    blank = x.copy()
    blank[:, columns] = 0
    return blank


def _requests(test: Offers) -> list[SampleRequest]:
    """One request per employee, with a row per course."""
    found = []
    for first in range(0, min(len(test.x), 500 * CHOICES), CHOICES):
        rows = slice(first, first + CHOICES)
        body = "\n".join(",".join(f"{value:g}" for value in row) for row in test.x[rows])
        expected = ",".join(str(int(value)) for value in test.finished[rows])
        found.append(SampleRequest(body, expected=expected))
    return found
