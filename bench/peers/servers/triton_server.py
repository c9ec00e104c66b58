"""Triton by way of PyTriton: its own dynamic batching, one Python worker."""

import os

import numpy
import xgboost
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

booster = xgboost.Booster({"nthread": 1})
booster.load_model(os.environ["MODEL"])


@batch
def infer(x):
    return {"scores": booster.inplace_predict(x).reshape(-1, 1)}


if __name__ == "__main__":
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(os.environ["PORT"]),
        grpc_address="127.0.0.1",
        grpc_port=int(os.environ["PORT_2"]),
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="booster",
            infer_func=infer,
            inputs=[Tensor(name="x", dtype=numpy.float32, shape=(30,))],
            outputs=[Tensor(name="scores", dtype=numpy.float32, shape=(1,))],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()
