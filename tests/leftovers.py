"""What a test file leaves open is found at its end, and fails its own last test.

Sockets, files and event loops that nobody closed warn when they are collected. Python collects cycles when it
happens to, so the warning failed whichever test ran then, in some other file. Collecting costs little, as what was
alive after collection of the tests (all imports) is set aside. While tests are collected, Python looks for no cycles:
nearly all that is made then stays, and going through it again and again took half of that time.
"""

import gc
from collections.abc import Generator, Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def collect_leftovers() -> Iterator[None]:
    yield
    gc.collect()
