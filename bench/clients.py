"""Many clients for benchmarks: thousands of different XGBoost models made in seconds, and the traffic of their users.

A few models are trained; the others are copies with other leaf values, so every file is a model of its own.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

FEATURES = 20
TREES = 100
BASES = 24


def make(folder: Path, number: int) -> list[str]:
    """Writes that many models of ``TREES`` trees and depth 3 to 6; returns their names."""
    bases = [_trained(seed) for seed in range(min(BASES, number))]
    places = [_leaves(base) for base in bases]
    random = np.random.default_rng(7)
    names = []
    for index in range(number):
        which = index % len(bases)
        data = np.frombuffer(bases[which], np.uint8).copy()
        values = data[places[which]].reshape(-1, 4).view(">f4")
        changed = (values * (1 + 0.1 * random.random(values.shape))).astype(">f4")
        data[places[which]] = changed.view(np.uint8).reshape(-1)
        name = f"{index % 100:02}/client-{index}.ubj"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data.tobytes())
        names.append(name)
    return names


def _trained(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(3000, FEATURES)).astype(np.float32)
    labels = rows[:, seed % FEATURES] * rows[:, 1] + random.normal(size=3000) > 0
    settings = {"objective": "binary:logistic", "max_depth": 3 + seed % 4, "nthread": 1, "seed": seed}
    return bytes(xgboost.train(settings, xgboost.DMatrix(rows, labels), TREES).save_raw("ubj"))


def _leaves(data: bytes) -> NDArray[np.intp]:
    """Where the bytes of leaf values lie in a UBJSON model: XGBoost writes arrays as ``[$type#L`` and a length."""
    found, at = [], 0
    while (at := data.find(b"left_children[$l#L", at)) >= 0:
        begin, count = _array(data, at, b"left_children[$l#L")
        leaves = np.flatnonzero(np.frombuffer(data, ">i4", count, begin) < 0)
        at = data.find(b"split_conditions[$d#L", begin)
        begin, _ = _array(data, at, b"split_conditions[$d#L")
        found.append(begin + 4 * leaves)
    return (np.concatenate(found)[:, None] + np.arange(4)).reshape(-1)


def _array(data: bytes, at: int, prefix: bytes) -> tuple[int, int]:
    begin = at + len(prefix)
    return begin + 8, int.from_bytes(data[begin : begin + 8], "big")


def zipf(number: int, exponent: float) -> NDArray[np.float64]:
    """Each client's share of the requests, the busiest first."""
    shares = 1 / np.arange(1, number + 1) ** exponent
    return np.asarray(shares / shares.sum())


def bound(number: int, exponent: float, part: float) -> float:
    """Share of independent requests for the busiest ``part`` of the clients: no cache of so many can hit more."""
    return float(zipf(number, exponent)[: int(number * part)].sum())


def visits(names: list[str], exponent: float, length: int, open_at_once: int, seed: int) -> Iterator[str]:
    """Requests as users make them: a client comes by Zipf's law, asks ``length`` times in a while, and leaves.
    ``open_at_once`` visits overlap. A length of 1 makes every request independent."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(names))
    shares = zipf(len(names), exponent)
    fresh: list[int] = []
    under_way: list[list[int]] = []
    while True:
        while len(under_way) < open_at_once:
            if not fresh:
                fresh = random.choice(order, 10_000, p=shares).tolist()
            under_way.append([fresh.pop(), length])
        at = int(random.integers(len(under_way)))
        visit = under_way[at]
        visit[1] -= 1
        yield names[visit[0]]
        if not visit[1]:
            under_way[at] = under_way[-1]
            under_way.pop()
