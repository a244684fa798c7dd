"""KServe's Python server, run by the bench's own environment, with the sample's scikit-learn model in its process:

    var/runtimes/bench/bin/python kserve_digit.py --http_port PORT --enable_grpc false --enable_latency_logging false

or, with `--predictor_host HOST:PORT --predictor_protocol v2` as well, as KServe has it where Triton serves the model:
a transformer that takes V1, asks Triton by V2, and gives V1 back.

One worker, as KServe starts it. Its log of requests is off, and it listens on loopback only: by itself it would
listen on every address.
"""
# mypy: ignore-errors
# (of another environment)

import logging
import sys
from pathlib import Path

# Started as a script, this folder would come before the packages that are imported here.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

import numpy as np  # noqa: E402
import uvicorn  # noqa: E402
from kserve import InferInput, InferRequest, Model, ModelServer  # noqa: E402
from sklearn import datasets  # noqa: E402
from sklearn.svm import SVC  # noqa: E402

NAME = "example-mnist-isvc"


class Digit(Model):
    def __init__(self):
        super().__init__(NAME)
        self.svc = None

    def load(self):
        # As datasets/samples/generate.py trains it.
        loaded = datasets.load_digits()
        self.svc = SVC(gamma=0.001).fit(loaded.data[:-300].astype("float32"), loaded.target[:-300])
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": self.svc.predict(payload["instances"]).astype(float).tolist()}


class Transformer(Model):
    def __init__(self):
        super().__init__(NAME)
        self.ready = True

    def preprocess(self, payload, headers=None):
        rows = np.array(payload["instances"], np.float32)
        tensor = InferInput("predict", list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows, binary_data=True)
        return InferRequest(NAME, [tensor])

    def postprocess(self, result, headers=None, response_headers=None):
        return {"predictions": result.outputs[0].as_numpy().tolist()}


def only_loopback():
    begin = uvicorn.Config.__init__

    def on_loopback(self, app, **options):
        begin(self, app, **{**options, "host": "127.0.0.1"})

    uvicorn.Config.__init__ = on_loopback


if __name__ == "__main__":
    only_loopback()
    logging.disable(logging.INFO)
    if "--predictor_host" in sys.argv:
        model = Transformer()
    else:
        model = Digit()
        model.load()
    ModelServer(workers=1).start([model])
