"""Two-sample tests and the control of false discoveries. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence

FEWEST_EXPECTED = 5.0
"""Of a category, for the chi-square test; rarer ones are counted together."""


def distance_of_samples(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov distance: the largest difference of the two distribution functions. Both samples
    must be sorted."""
    one = two = 0
    largest = 0.0
    while one < len(first) and two < len(second):
        point = min(first[one], second[two])
        while one < len(first) and first[one] == point:
            one += 1
        while two < len(second) and second[two] == point:
            two += 1
        largest = max(largest, abs(one / len(first) - two / len(second)))
    return largest


def probability_of_distance(distance: float, first: int, second: int) -> float:
    """Return the probability of a distance at least as large if nothing has changed (Stephens 1970). Equal values
    make it too large, never too small."""
    size = math.sqrt(first * second / (first + second))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.2:
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def distance_of_counts(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """The largest difference of the share of a category."""
    one, two = sum(first.values()), sum(second.values())
    return max(abs(first.get(name, 0) / one - second.get(name, 0) / two) for name in {*first, *second})


def probability_of_counts(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Return the probability of counts that differ at least as much if nothing has changed (chi-square test of
    homogeneity)."""
    one, two = sum(first.values()), sum(second.values())
    least = FEWEST_EXPECTED * (one + two) / min(one, two)
    cells, rare = [], (0.0, 0.0)
    for name in {*first, *second}:
        a, b = first.get(name, 0.0), second.get(name, 0.0)
        if a + b < least:
            rare = rare[0] + a, rare[1] + b
        else:
            cells.append((a, b))
    if sum(rare) >= least:
        cells.append(rare)
    if len(cells) < 2:
        return 1.0
    total = math.fsum(a + b for a, b in cells)
    shares = math.fsum(a for a, _ in cells) / total, math.fsum(b for _, b in cells) / total
    statistic = math.fsum(
        (seen - (a + b) * share) ** 2 / ((a + b) * share)
        for a, b in cells
        for seen, share in zip((a, b), shares, strict=True)
    )
    return _upper_gamma((len(cells) - 1) / 2, statistic / 2)


def upper_binomial(successes: int, trials: int, share: float) -> float:
    """Return the probability of at least so many successes; 1 where they are no more than expected."""
    if successes <= trials * share:
        return 1.0
    if share <= 0:
        return 0.0
    first = _log_choose(trials, successes) + successes * math.log(share)
    first += (trials - successes) * math.log1p(-share)
    odds = share / (1 - share)
    return _sum_tail(first, ((trials - n) / (n + 1) * odds for n in range(successes, trials)))


def upper_hypergeometric(successes: int, drawn: int, marked: int, total: int) -> float:
    """Return the probability of at least so many of the ``marked`` among the ``drawn`` (Fisher's exact test); 1 where
    they are no more than expected."""
    if total == 0 or successes <= drawn * marked / total:
        return 1.0
    first = _log_choose(marked, successes) + _log_choose(total - marked, drawn - successes)
    first -= _log_choose(total, drawn)
    others = total - marked - drawn
    ratios = (
        (marked - n) * (drawn - n) / ((n + 1) * (others + n + 1)) for n in range(successes, min(marked, drawn))
    )
    return _sum_tail(first, ratios)


def _log_choose(total: int, some: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(some + 1) - math.lgamma(total - some + 1)


def _sum_tail(first: float, ratios: Iterable[float]) -> float:
    """Sum of terms that fall, the first given by its logarithm."""
    total = term = 1.0
    for ratio in ratios:
        term *= ratio
        total += term
        if term < total * 1e-16:
            break
    return min(1.0, math.exp(first) * total)


def select_discoveries(probabilities: Sequence[float], rate: float) -> list[bool]:
    """Select discoveries so that at most the share ``rate`` of them is false on average (Benjamini and Hochberg
    1995)."""
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    last = 0
    for rank, place in enumerate(order, 1):
        if probabilities[place] <= rate * rank / len(order):
            last = rank
    chosen = set(order[:last])
    return [place in chosen for place in range(len(probabilities))]


def _upper_gamma(shape: float, value: float) -> float:
    """The regularised upper incomplete gamma function (series below shape + 1, continued fraction above)."""
    if value <= 0:
        return 1.0
    front = math.exp(shape * math.log(value) - value - math.lgamma(shape))
    if value < shape + 1:
        term = total = 1 / shape
        for number in range(1, 10_000):
            term *= value / (shape + number)
            total += term
            if term < total * 1e-15:
                break
        return max(0.0, 1 - front * total)
    tiny = 1e-300
    below = value + 1 - shape
    above, result = 1 / tiny, 1 / below
    ratio = result
    for number in range(1, 10_000):
        factor = -number * (number - shape)
        below += 2
        ratio = 1 / (factor * ratio + below or tiny)
        above = below + factor / above or tiny
        result *= ratio * above
        if abs(ratio * above - 1) < 1e-15:
            break
    return min(1.0, front * result)
