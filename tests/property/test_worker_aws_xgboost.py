"""The forms of AWS's XGBoost images answer what XGBoost predicts in this process, whatever is asked with them."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.serving.runtimes.test_aws_xgboost import dense, libsvm, sparse
from tidegate.serving.contract.body_spool import LargeCall, Spool
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.engines.mapped_forest import open_forest, write_forest
from tidegate.serving.formats.recordio import _frame as framed
from tidegate.serving.runtimes import load
from tidegate.serving.scoring.batching import score_requests
from tidegate.serving.scoring.chunked_scoring import answer_blocks
from tidegate.serving.scoring.file_ranges import FIRST, Records

EACH = settings(max_examples=max(10, settings().max_examples // 4), suppress_health_check=list(HealthCheck))
KIND = RuntimeKind.SAGEMAKER_XGBOOST
OBJECTIVES = ("binary:logistic", "reg:squarederror", "multi:softprob", "binary:logitraw")


def joined(rows: Any, delimiter: str, end: str) -> bytes:
    lines = [delimiter.join("" if value != value else repr(value) for value in row) for row in rows.tolist()]
    return "".join(line + end for line in lines).encode()


def records(one: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lambda rows: b"".join(framed(one(row)) for row in rows)


FORMS: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "libsvm": ("text/libsvm", libsvm),
    "x-libsvm with labels": ("text/x-libsvm", lambda rows: libsvm(rows, label="1")),
    "float32 records": ("application/x-recordio-protobuf", records(dense)),
    "float64 records": ("application/x-recordio-protobuf", records(lambda row: dense(row, "<f8"))),
    "sparse records": ("application/x-recordio-protobuf", records(lambda row: sparse(row, len(row)))),
    **{
        f"csv by {delimiter!r}, {end!r}": ("text/csv", partial(joined, delimiter=delimiter, end=end))
        for delimiter in ",;\t|"
        for end in ("\n", "\r\n")
    },
}


def trained(random: np.random.Generator, objective: str, count: int, folder: Path) -> xgboost.Booster:
    rows = random.normal(size=(120, count)) * 10.0 ** random.integers(-3, 6, count)
    rows[random.random(rows.shape) < random.choice([0, 0.3])] = np.nan
    score = np.nan_to_num(rows / np.nanstd(rows, axis=0)).sum(axis=1)
    label = np.digitize(score, [-0.5, 0.5]) if "multi" in objective else score > 0 if "bin" in objective else score
    chosen: dict[str, Any] = {"objective": objective, "max_depth": 3, "nthread": 1}
    if "multi" in objective:
        chosen["num_class"] = 3
    booster = xgboost.train(chosen, xgboost.DMatrix(rows, label), 6)
    booster.save_model(folder / "m.ubj")
    return booster


def requests(model: Any, bodies: list[bytes], content_type: str) -> list[Any]:
    """Scored together."""
    rows = [model.parse(Call(body, {b"content-type": content_type.encode()})) for body in bodies]
    return list(score_requests(model, rows))


def in_blocks(model: Any, body: bytes, content_type: str, folder: Path) -> Any:
    spool = Spool(folder)
    spool.add(body)
    found: Any = answer_blocks(model, LargeCall(spool, {b"content-type": content_type.encode()}), spool, 300)
    return np.array([line.split(b",") for line in Answer(*found).body.splitlines()], np.float64)


@EACH
@given(
    st.integers(0, 2**32),
    st.sampled_from(OBJECTIVES),
    st.integers(1, 6),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.sampled_from(list(FORMS)),
)
def test_an_answer_is_the_librarys(seed: int, objective: str, count: int, sizes: list[int], form: str) -> None:
    random = np.random.default_rng(seed)
    content_type, write = FORMS[form]
    with tempfile.TemporaryDirectory(prefix="aws-") as name:
        folder = Path(name) / "model"
        folder.mkdir()
        booster = trained(random, objective, count, folder)
        # Which of its features a model looks at is chance here, and not what is tested.
        environment = {"LIBSVM_INDEX_BASE": "1"} if "libsvm" in form else {}
        write_forest(KIND, folder, environment)
        models = [load(KIND, folder, environment), open_forest(KIND, folder, environment)]
        tables = [random.normal(size=(size, count)) * 10.0 ** random.integers(-3, 6) for size in sizes]
        for table in tables:
            table[random.random(table.shape) < 0.3] = np.nan
        for model in filter(None, models):
            found = requests(model, [write(table) for table in tables], content_type)
            for table, scores in zip(tables, found, strict=True):
                right = booster.predict(xgboost.DMatrix(table, missing=np.nan))
                np.testing.assert_allclose(scores, right, rtol=2e-6, atol=2e-6)
            large = np.concatenate(tables * 5)
            right = booster.predict(xgboost.DMatrix(large, missing=np.nan)).reshape(len(large), -1)
            if "records" not in form:
                blocks = in_blocks(model, write(large), content_type, Path(name))
                np.testing.assert_allclose(blocks, right, rtol=2e-6, atol=2e-6)
            job = Call(write(large), {b"content-type": content_type.encode(), FIRST: b"0"})
            [scores] = score_requests(Records(model), [Records(model).parse(job)])
            np.testing.assert_allclose(np.reshape(scores, right.shape), right, rtol=2e-6, atol=2e-6)


@EACH
@given(st.integers(0, 2**32), st.integers(2, 6), st.sampled_from(["0", "1", ""]), st.sampled_from([0, 1]))
def test_an_index_means_one_column_or_is_refused(seed: int, count: int, said: str, base: int) -> None:
    """However a client counts: the answer is right for that, or there is none. Unless it says so, one that counts
    from 0 is refused for every row with a first feature, and answered wrongly for none that cannot be meant so."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="aws-") as name:
        booster = trained(random, "reg:squarederror", count, Path(name))
        model = load(KIND, Path(name), {"LIBSVM_INDEX_BASE": said} if said else {})
        table = random.normal(size=(4, count))
        for row in range(len(table)):
            one = table[row : row + 1]
            right = booster.predict(xgboost.DMatrix(one))
            try:
                [scores] = requests(model, [libsvm(one, base=base)], "text/libsvm")
            except ModelFailed as failed:
                assert failed.status == 400
                assert said != str(base)
            else:
                np.testing.assert_allclose(scores, right, rtol=2e-6, atol=2e-6)


@EACH
@given(st.binary(max_size=200), st.sampled_from([content_type for content_type, _ in FORMS.values()]))
def test_any_bytes_are_answered_or_refused(body: bytes, content_type: str) -> None:
    model = _any_model()
    try:
        [scores] = requests(model, [body], content_type)
    except ModelFailed as failed:
        assert failed.status in (400, 415)
    else:
        assert len(scores) <= len(body)


@EACH
@given(st.data())
def test_a_changed_record_is_answered_or_refused(data: st.DataObject) -> None:
    body = bytearray(framed(sparse([1.0, 2.0, 3.0])) + framed(dense([1.0, 2.0, 3.0])))
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=3)):
        body[at] = data.draw(st.integers(0, 255))
    try:
        [scores] = requests(_any_model(), [bytes(body)], "application/x-recordio-protobuf")
    except ModelFailed as failed:
        assert failed.status == 400
    else:
        assert len(scores) == 2


_MODELS: list[Any] = []


def _any_model() -> Any:
    if not _MODELS:
        with tempfile.TemporaryDirectory(prefix="aws-") as name:
            trained(np.random.default_rng(1), "reg:squarederror", 3, Path(name))
            _MODELS.append(load(KIND, Path(name), {}))
    return _MODELS[0]
