"""The model of a challenge: one tree of three nodes in XGBoost's JSON, and the requests that it is asked. Pure.

The file is written without the library, so that the server need not load it. Source: XGBoost's JSON model schema.
"""

import json
from random import Random

from tidegate.features.drift.baseline import RowSample
from tidegate.rows.profile import Row

COLUMNS = ("amount", "hours", "tenure", "rate")
AMOUNT, SPREAD, HOURS = 7.6, 0.5, 38.0
"""Mean and standard deviation of the logarithm of an amount; hours of a week."""
GROWTH = 1.8
"""The factor of amounts once they have shifted."""
CUT = 2_000.0
"""The amount at which the tree splits."""
MORE_COLUMNS = 2
"""Columns that a version asks for and no client sends, in a model that was trained on a wider table."""


def write_model(low: float, high: float, more_columns: int = 0) -> bytes:
    """A model that answers ``low`` below CUT and ``high`` above it."""
    nodes, features = 3, len(COLUMNS) + more_columns
    zeros, none = [0] * nodes, [0.0] * nodes
    tree = {
        "base_weights": none,
        **{"categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": []},
        **{"default_left": zeros, "id": 0, "loss_changes": none, "sum_hessian": [1.0] * nodes},
        **{"left_children": [1, -1, -1], "right_children": [2, -1, -1], "parents": [2**31 - 1, 0, 0]},
        **{"split_conditions": [CUT, low, high], "split_indices": zeros, "split_type": zeros},
        "tree_param": {
            **{"num_deleted": "0", "num_feature": str(features), "num_nodes": str(nodes)},
            "size_leaf_vector": "1",
        },
    }
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"},
        **{"iteration_indptr": [0, 1], "tree_info": [0], "trees": [tree]},
    }
    parameters = {"base_score": "0", "boost_from_average": "1", "num_class": "0", "num_target": "1"}
    learner = {
        **{"attributes": {}, "feature_names": [], "feature_types": []},
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {**parameters, "num_feature": str(features)},
        "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return json.dumps({"learner": learner, "version": [2, 0, 0]}).encode()


def draw_rows(chance: Random, count: int, growth: float = 1.0) -> list[Row]:
    return [
        {
            "amount": round(chance.lognormvariate(AMOUNT, SPREAD) * growth, 2),
            "hours": round(chance.gauss(HOURS, 4.0), 1),
            "tenure": round(chance.uniform(0.0, 20.0), 1),
            "rate": round(chance.uniform(15.0, 60.0), 2),
        }
        for _ in range(count)
    ]


def write_requests(rows: list[Row]) -> bytes:
    """A line of JSON for each request, of one row."""
    bodies = (",".join(str(row[name]) for name in COLUMNS) for row in rows)
    return "".join(json.dumps({"body": body, "content_type": "text/csv"}) + "\n" for body in bodies).encode()


def write_baseline(rows: list[Row], chance: Random) -> bytes:
    """The baseline in the form that ``tidegate drift schedule baseline`` writes."""
    sample = RowSample(chance.randrange)
    for row in rows:
        sample.add(row, None)
    return json.dumps(sample.document()).encode()
