"""Digits by a scikit-learn SVC: 64 pixels (8x8, values 0 to 16) in, the digit out."""

import os

import joblib
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.model = joblib.load(os.path.join(args["model_repository"], args["model_version"], "model.joblib"))

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        pixels = pb_utils.get_input_tensor_by_name(request, "predict").as_numpy()
        digits = self.model.predict(pixels).astype(np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("predict", digits)])
