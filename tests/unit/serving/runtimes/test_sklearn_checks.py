"""scikit-learn's trees from skops files: whole ones are served, forged ones never reach its code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeClassifier

from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.invocation import Answer, Call
from tidegate.serving.runtimes import sklearn, sklearn_checks

ROWS = np.random.default_rng(0).normal(size=(120, 4))
YES = (ROWS.sum(axis=1) > 0).astype(int)


def forest() -> Any:
    return RandomForestClassifier(3, random_state=0).fit(ROWS, YES)


def boosting() -> Any:
    return GradientBoostingClassifier(n_estimators=3, random_state=0).fit(ROWS, YES)


def histograms() -> Any:
    return HistGradientBoostingClassifier(max_iter=3).fit(ROWS, YES)


MODELS: dict[str, Callable[[], Any]] = {
    "forest": forest,
    "tree": lambda: DecisionTreeClassifier().fit(ROWS, YES),
    "isolation": lambda: IsolationForest(n_estimators=3).fit(ROWS),
    "bagging": lambda: BaggingClassifier(DecisionTreeClassifier(), 3, max_features=0.5).fit(ROWS, YES),
    "pipeline": lambda: make_pipeline(PolynomialFeatures(), RandomForestClassifier(3)).fit(ROWS, YES),
    "stacking": lambda: StackingRegressor(
        [(str(n), LinearRegression()) for n in range(6)], RandomForestRegressor(3)
    ).fit(ROWS, ROWS.sum(axis=1)),
    "network": lambda: MLPClassifier(max_iter=2000).fit(ROWS, YES),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_models_trees_are_served_without_trust(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    skops.io.dump(model, tmp_path / "m.skops")
    table = sklearn.load(tmp_path, {})
    columns = model.n_features_in_
    rows = np.random.default_rng(1).normal(size=(5, columns)).astype(np.float32)
    body = "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()
    call = Call(body, {b"content-type": b"text/csv"})
    answer = table.render(table.score([table.parse(call)])[0], call)
    assert isinstance(answer, Answer)
    assert [float(line) for line in answer.body.split()] == pytest.approx(model.predict(rows).tolist())


def changed(model: Any, **fields: Any) -> Any:
    """The first tree of a forest, of which the first node has other numbers."""
    tree = (
        model.estimators_.flat[0].tree_
        if isinstance(model.estimators_, np.ndarray)
        else model.estimators_[0].tree_
    )
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    for name, value in fields.items():
        nodes[name][0] = value
    tree.__setstate__({**state, "nodes": nodes})
    return model


def narrowed(model: Any) -> Any:
    model.n_features_in_ = 1
    return model


def masked(model: Any) -> Any:
    """What numpy then skips, scikit-learn's code does not."""
    model.estimators_[0].masked = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=True)
    return model


def nameless(model: Any) -> Any:
    """The estimator does not say how many columns its tree takes."""
    del model.steps[-1][1].n_features_in_
    return model


def decoy() -> Any:
    """One tree in two estimators, one of which is given fewer columns."""
    model = DecisionTreeClassifier().fit(ROWS[:, :2], YES)
    wide = DecisionTreeClassifier().fit(ROWS, YES)
    model.tree_ = wide.tree_
    model.other = wide
    return model


def loose() -> Any:
    model = LinearRegression().fit(ROWS, YES)
    model.tree = DecisionTreeClassifier().fit(ROWS, YES).tree_
    return model


def replaced(model: Any) -> Any:
    model.predict = model.score
    return model


FORGED: list[tuple[Callable[[], Any], str]] = [
    (lambda: changed(forest(), left_child=1_000_000), "a node's child is none of the nodes after it"),
    (lambda: changed(forest(), right_child=-5), "a node's child is none of the nodes after it"),
    (lambda: changed(forest(), left_child=0), "a node's child is none of the nodes after it"),
    (lambda: changed(forest(), feature=4), "a tree splits by a column that the model does not take"),
    (lambda: narrowed(forest()), "a forest's trees take other columns than it does"),
    (
        lambda: nameless(make_pipeline(PCA(2), DecisionTreeClassifier()).fit(ROWS, YES)),
        "n_features_in_ is None, not a number of 1 or more",
    ),
    (decoy, "a tree takes other columns than its estimator"),
    (loose, "a tree lies outside of a decision tree"),
]


@pytest.mark.parametrize(("make", "message"), FORGED)
def test_a_forged_tree_is_refused(make: Callable[[], Any], message: str, tmp_path: Path) -> None:
    skops.io.dump(make(), tmp_path / "m.skops")
    with pytest.raises(ArtifactError) as caught:
        sklearn.load(tmp_path, {})
    assert caught.value.message == f"m.skops is damaged: {message}; save the model again"


UNCHECKED: list[tuple[Callable[[], Any], str]] = [
    (boosting, "sklearn.ensemble._gb.GradientBoostingClassifier"),
    (histograms, "TreePredictor"),
    (lambda: masked(forest()), "numpy.ma.MaskedArray"),
    (
        lambda: IsolationForest(n_estimators=3, max_features=0.5).fit(ROWS),
        "sklearn.ensemble._iforest.IsolationForest with some of the columns for each tree",
    ),
]


@pytest.mark.parametrize(("make", "what"), UNCHECKED)
def test_what_cannot_be_checked_needs_trust(make: Callable[[], Any], what: str, tmp_path: Path) -> None:
    skops.io.dump(make(), tmp_path / "m.skops")
    with pytest.raises(ArtifactError) as caught:
        sklearn.load(tmp_path, {})
    assert "m.skops holds types that need trust" in caught.value.message and what in caught.value.message
    sklearn.load(tmp_path, {"TIDEGATE_TRUST": "pickle"})


def test_a_model_with_other_methods_than_its_own_is_refused() -> None:
    with pytest.raises(sklearn_checks.UnsoundModel):
        sklearn_checks.check(replaced(forest()))


def test_what_is_in_itself_is_looked_at_once() -> None:
    model = forest()
    model.again = [model, {"model": model}]
    sklearn_checks.check(model)


def test_other_types_need_trust(tmp_path: Path) -> None:
    skops.io.dump(KNeighborsClassifier(3).fit(ROWS, YES), tmp_path / "m.skops")
    with pytest.raises(ArtifactError) as caught:
        sklearn.load(tmp_path, {})
    assert caught.value.message == (
        "m.skops holds types that need trust, since they may run code or reach beyond their memory:"
        " sklearn.metrics._dist_metrics.EuclideanDistance64, sklearn.neighbors._kd_tree.KDTree; leave them out, or,"
        " if you trust who made it, set TIDEGATE_TRUST=pickle for the server and in the model's environment"
    )
    sklearn.load(tmp_path, {"TIDEGATE_TRUST": "pickle"})
