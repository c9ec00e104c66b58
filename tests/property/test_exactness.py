"""Every runtime answers what its library predicts in this process, in whatever form the rows come."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.exact.models import MAKERS
from bench.exact.schemas import LISTED, NUMBER, NUMBERS, SIZES, TEXT, TEXTS, TRUTH, WHOLE, Field, frame
from bench.exactness import compare_case

EACH = settings(max_examples=max(5, settings().max_examples // 8), suppress_health_check=list(HealthCheck))
ASCII = st.text(st.characters(max_codepoint=126, exclude_characters="\n\r"), max_size=6)
ANY = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=6)
LARGE = st.integers(-(2**62), 2**62)


def names(alphabet: str) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=1, max_size=5) | st.sampled_from(["0", "1", "nan", "a", "b"])


XGBOOST_NAMES = names("ab01 ,\"'é.-_:{}")
PLAIN_NAMES = names("abc01_é")


@st.composite
def columns(
    draw: st.DrawFn, kinds: Sequence[str], labels: st.SearchStrategy[str], texts: st.SearchStrategy[str]
) -> list[Field]:
    found = []
    for name in draw(st.lists(labels.filter(lambda one: one == one.strip()), min_size=1, max_size=5, unique=True)):
        kind = draw(st.sampled_from(kinds))
        one = texts | st.sampled_from(TEXTS) if kind == TEXT else LARGE | st.sampled_from(NUMBERS)
        several = st.lists(one, min_size=2, max_size=5, unique=True).map(tuple)
        categories = draw(several) if kind in (TEXT, LISTED) else ()
        size = draw(st.sampled_from([1.0, 1e6, 1e15] if kind == WHOLE else SIZES))
        found.append(Field(name, kind, categories, size, draw(st.booleans()) and "" not in categories))
    return found


TREES = (NUMBER, NUMBER, WHOLE, TRUTH, TEXT, LISTED)
DRAWN = {
    "XGBoost": columns(TREES, XGBOOST_NAMES, ASCII.filter(lambda text: "\0" not in text)),
    "XGBoost, gblinear": columns((NUMBER, WHOLE), XGBOOST_NAMES, ASCII),
    "LightGBM": columns(TREES, PLAIN_NAMES, ANY),
    "scikit-learn": columns((NUMBER, WHOLE), PLAIN_NAMES, ANY),
    "scikit-learn, text": columns((NUMBER, TEXT, TEXT, TRUTH), XGBOOST_NAMES, ANY),
    "ONNX, one tensor": st.none(),
    "ONNX, columns": columns(
        (NUMBER, WHOLE, TRUTH, TEXT), XGBOOST_NAMES, ANY.filter(lambda text: "\0" not in text)
    ),
    "PyTorch": st.none(),
    "MLflow": columns((NUMBER, WHOLE), PLAIN_NAMES, ANY),
}
assert set(DRAWN) == set(MAKERS)
MAY_REFUSE = ("may be a header or a row", "does not say which columns they are of", "may have been rounded")
"""What only chance makes of names and categories: a header of numbers, lists that fit several columns, a category of
2**53 in an array of floats."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MAKERS)
def test_an_answer_is_the_librarys(name: str) -> None:
    @EACH
    @given(DRAWN[name], st.integers(0, 2**32), st.integers(1, 40))
    def check(given: Sequence[Field] | None, seed: int, rows: int) -> None:
        random = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory(prefix="exact-") as folder:
            case = MAKERS[name](random, Path(folder), given)
            for form, tally in compare_case(case, frame(case.columns, rows, random)):
                assert not tally.wrong, (form, tally)
                for note in tally.notes:
                    assert any(reason in note for reason in MAY_REFUSE), (form, note)

    run: Callable[[], None] = check
    run()
