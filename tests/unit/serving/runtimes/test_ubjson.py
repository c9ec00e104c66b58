"""The walk over UBJSON accepts what XGBoost writes and nothing that is cut, forged or endless."""

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.runtimes import ubjson


def model(**parameters: object) -> bytes:
    x = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    labels = np.arange(60) % 3
    booster = xgboost.train({"nthread": 1, **parameters}, xgboost.DMatrix(x, labels), 3)
    return bytes(booster.save_raw("ubj"))


WHOLE = model()


@pytest.mark.parametrize(
    "parameters",
    [{}, {"objective": "multi:softprob", "num_class": 3}, {"booster": "dart"}, {"booster": "gblinear"}],
)
def test_what_xgboost_writes_is_whole(parameters: dict[str, object]) -> None:
    ubjson.parse(model(**parameters))


@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_document_is_broken(length: int) -> None:
    with pytest.raises(ubjson.MalformedUbjson):
        ubjson.parse(WHOLE[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(data: bytes) -> None:
    try:
        ubjson.parse(data)
    except ubjson.MalformedUbjson as broken:
        assert str(broken)


@pytest.mark.parametrize(
    "data",
    [
        b"[$d#L" + b"\x7f" * 8,
        b"S L" + b"\xff" * 8,
        b"[" * 100_000,
        b"[#l\x7f\xff\xff\xff",
        WHOLE + b"more",
        b"[$d",
    ],
    ids=["huge array", "negative text", "deep", "huge count", "bytes after the end", "no length"],
)
def test_forged_documents_are_broken(data: bytes) -> None:
    with pytest.raises(ubjson.MalformedUbjson):
        ubjson.parse(data)
