"""Sentences that compare two versions by their late labels. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = {
    "auc": "{mean:.1%} positives below a negative",
    "loss": "mean log loss {mean:.4g}",
    "calibration": "mean score minus share of positives {mean:+.4f}",
    "error": "mean absolute error {mean:,.4g}",
    "feedback": "{mean:.1%} answers disliked",
}
MARGINS = {"error": "{:.0%} of the old one", "loss": "{:.0%} of the old one"}
POINTS = "{:.2g}"
MOST_SLICES = 5
"""Slices that are named: those with most evidence."""


def comparison_lines(one: Mapping[str, Any]) -> Iterator[str]:
    """One line about all labels, and one for each slice with most evidence, of a comparison as the API has it."""
    title = f"{one['new']} compared with {one['old']}"
    tests = one.get("tests") or []  # 0.1.0 kept none
    if not tests:
        yield f"{title}: evidence {one['evidence']:.2f} of 1"
        return
    yield f"{title}: {'; '.join(_describe_test(test) for test in tests if not test['slice'])}"
    sliced = sorted((test for test in tests if test["slice"]), key=lambda test: -test["evidence"])
    for test in sliced[:MOST_SLICES]:
        if test["evidence"] > 0:
            yield f"{title}, {test['slice']}: {_describe_test(test)}"


def _describe_test(test: Mapping[str, Any]) -> str:
    """``mean absolute error 17.9 of 1,200, 12.3 of 1,180 before (evidence 1.32 of 1 for more than ...)``."""
    margin = MARGINS.get(test["name"], POINTS).format(test["tolerance"])
    if not test["new_compared"] or not test["old_compared"]:
        what = WORDS[test["name"]].partition("{")
        return f"{(what[0] or what[2].partition('}')[2]).strip()}: no labels of both versions"
    new, old = (
        f"{WORDS[test['name']].format(mean=test[f'{side}_mean'])} of {test[f'{side}_compared']:,}"
        for side in ("new", "old")
    )
    return f"{new}, {old} before (evidence {test['evidence']:.2f} of 1 for more than {margin} worse)"
