"""System packages that tests can use: ``deploy/test-packages.txt`` lists them.

The end of a run tells which tests were skipped for want of which package.
"""

import re
from collections import Counter
from pathlib import Path

LIST = Path(__file__).parents[1] / "deploy" / "test-packages.txt"
NEEDS = re.compile(r"needs the system package ([\w.+-]+)")


def read_packages() -> dict[str, str]:
    """Return what needs each package, by its name in Debian."""
    lines = LIST.read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def lacks(package: str) -> str:
    """Return the reason of a skip for want of a package. Raises KeyError if the list does not have it."""
    return f"needs the system package {package}, for {read_packages()[package]}: make packages"


def count_skipped(reasons: list[str]) -> list[str]:
    """Return the lines that tell what was skipped for want of packages, by package."""
    counts = Counter(found[1] for reason in reasons if (found := NEEDS.search(reason)) is not None)
    lines = [f"{count:6,} skipped without {package}" for package, count in counts.most_common()]
    return [*lines, "make packages installs what is missing"] if lines else []
