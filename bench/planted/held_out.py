"""Eleven more planted faults, which no tolerance and no stake was chosen by."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from bench.planted.versions import ModelVersion, Plant, Trainer
from bench.planted.worlds import Floats, World

Change = Callable[[World, Floats], Floats]
ONE = 1
"""The category that faults of a single slice befall."""
CACHED = 0.3
"""Part of the requests that an earlier one's answer comes back for."""
EARLIER = 50
"""Requests between the two."""
BATCH = 8
CLIPPED = 1.0
"""Standard deviations beyond which a column is cut off."""
BITS = 3
"""Of the mantissa of a float8."""


def join_row_before(world: World, x: Floats) -> Floats:
    """A join that is off by one row."""
    at = world.at(world.stale)
    x[:, at] = np.roll(x[:, at], 1)
    return x


def take_cents_in_one_slice(world: World, x: Floats) -> Floats:
    of_slice = x[:, world.at(world.category)] == ONE
    x[of_slice, world.at(world.money)] *= 100
    return x


def shift_hours_of_one_slice(world: World, x: Floats) -> Floats:
    of_slice = x[:, world.at(world.category)] == ONE
    x[of_slice, world.at(world.hour)] += 9
    return x


def drop_feature(world: World, x: Floats) -> Floats:
    """What a release no longer computes is missing, and so the mean."""
    x[:, world.at(world.stale)] = np.nan
    return x


def clip_values(world: World, x: Floats) -> Floats:
    return np.clip(x, -CLIPPED, CLIPPED)


def round_to_eight_bits(world: World, x: Floats) -> Floats:
    mantissa, exponent = np.frexp(x)
    return np.asarray(np.ldexp(np.round(mantissa * 2**BITS) / 2**BITS, exponent))


def answer_from_cache(scores: Floats) -> Floats:
    """Some requests get what an earlier one was answered."""
    cached = (np.arange(len(scores)) * 0.618) % 1 < CACHED
    return np.where(cached, np.roll(scores, EARLIER), scores)


def reorder_batches(scores: Floats) -> Floats:
    """Each batch of answers comes back in the opposite order."""
    whole = len(scores) // BATCH * BATCH
    turned = scores[:whole].reshape(-1, BATCH)[:, ::-1].ravel()
    return np.concatenate([turned, scores[whole:]])


def _prepared(name: str, change: Change) -> Plant:
    def plant(trainer: Trainer, seed: int) -> ModelVersion:
        version = trainer.honest(seed)
        return replace(version, preparation=replace(version.preparation, **{name: change}))  # type: ignore[arg-type]

    return plant


def _answered(change: Callable[[Floats], Floats]) -> Plant:
    return lambda trainer, seed: replace(trainer.honest(seed), answered=change)


def _coded(change: Callable[[Floats], Floats]) -> Plant:
    """Another value for each category."""

    def plant(trainer: Trainer, seed: int) -> ModelVersion:
        version = trainer.honest(seed)
        made = version.preparation
        return replace(version, preparation=replace(made, codes=change(made.codes)))

    return plant


def _wrong_fills(trainer: Trainer, seed: int) -> ModelVersion:
    version = trainer.honest(seed)
    made = version.preparation
    return replace(version, preparation=replace(made, fills=np.roll(made.fills, 1)))


def _lose_leading_zeros(codes: Floats) -> Floats:
    """Half of the categories are not known under the name that they come with."""
    return np.where(np.arange(len(codes)) % 2 == 0, codes.mean(), codes)


HELD_OUT: Mapping[str, Plant] = {
    "rows joined off by one": _prepared("before", join_row_before),
    "cents in one slice": _prepared("before", take_cents_in_one_slice),
    "time zone of one slice": _prepared("before", shift_hours_of_one_slice),
    "feature no longer computed": _prepared("before", drop_feature),
    "values clipped": _prepared("after", clip_values),
    "float8": _prepared("after", round_to_eight_bits),
    "missing values by another column's mean": _wrong_fills,
    "categories in reverse order": _coded(lambda codes: codes[::-1]),
    "categories without leading zeros": _coded(_lose_leading_zeros),
    "answers from a stale cache": _answered(answer_from_cache),
    "batches in reverse order": _answered(reorder_batches),
}
