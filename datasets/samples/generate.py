"""Makes the sample dataset: `<triton runtime>/bin/python -P datasets/samples/generate.py OUT`.

Runs in the Triton runtime's environment (scikit-learn, skl2onnx, joblib) and imports nothing of ours. The digits model
is trained here, not shipped: same libraries, same files. Writing is atomic (OUT appears whole or not at all) and an OUT
that is up to date is left alone, so preheated copies of it stay valid.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

MODELS = Path(__file__).resolve().parent / "models"
STAMP = ".generated"
LIBRARIES = ("scikit-learn", "skl2onnx", "onnx", "joblib")
README = """Sample models of Inference Console. Each folder is a Triton model: choose one as the model path.

mnist-svm    digits by a scikit-learn SVC (Python backend). "predict" FP32 [n, 64] -> "predict" FP32 [n]
mnist-onnx   the same digits by logistic regression as ONNX.   "predict" FP32 [n, 64] -> "label" INT64 [n],
             "probabilities" FP32 [n, 10]
repeat       streams its input back one value a response.      "IN" INT32 [n] -> n times "OUT" INT32 [1]
echo         answers with its input, of any size.              "IN" FP32 [n] -> "OUT" FP32 [n]
"""


def generate(out: Path) -> bool:
    """Make the samples at `out`; False when what is there is already up to date. Raises OSError."""
    stamp = fingerprint()
    if (out / STAMP).is_file() and (out / STAMP).read_text(encoding="utf-8") == stamp:
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        write(fresh)
        (fresh / STAMP).write_text(stamp, encoding="utf-8")
        fresh.chmod(0o755)  # mkdtemp makes it private; a dataset is read by others
        swap(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def fingerprint() -> str:
    """Changes when the sources here or the training libraries change."""
    digest = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    sources = sorted(path for path in MODELS.rglob("*") if path.suffix in {".py", ".pbtxt"})
    for path in [Path(__file__).resolve(), *sources]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest() + "\n"


def write(out: Path) -> None:
    for source in sorted(MODELS.iterdir()):
        if not (source / "config.pbtxt").is_file():
            continue
        folder = out / source.name / "1"
        folder.mkdir(parents=True)
        shutil.copyfile(source / "config.pbtxt", out / source.name / "config.pbtxt")
        if (source / "model.py").is_file():
            shutil.copyfile(source / "model.py", folder / "model.py")
        if train := TRAINED.get(source.name):
            train(folder)
    (out / "README.txt").write_text(README, encoding="utf-8")


def digits() -> tuple[Any, Any]:
    """Pixels (float32 [1797, 64]) and labels of the digits set, without the last 300 kept for trying out."""
    from sklearn import datasets

    loaded = datasets.load_digits()
    return loaded.data[:-300].astype("float32"), loaded.target[:-300]


def train_svm(folder: Path) -> None:
    import joblib
    from sklearn.svm import SVC

    joblib.dump(SVC(gamma=0.001).fit(*digits()), folder / "model.joblib")


def train_onnx(folder: Path) -> None:
    """Logistic regression: small, and exact enough in float32 that ONNX and scikit-learn agree."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    pixels, labels = digits()
    model = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=300)).fit(pixels, labels)
    graph = to_onnx(
        model,
        initial_types=[("predict", FloatTensorType([None, 64]))],
        options={id(model): {"zipmap": False}},
        target_opset=17,
        name="mnist-onnx",
    )
    graph.opset_import.sort(key=lambda opset: str(opset.domain))  # skl2onnx takes them out of a set
    (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))


TRAINED: dict[str, Callable[[Path], None]] = {"mnist-svm": train_svm, "mnist-onnx": train_onnx}


def swap(fresh: Path, out: Path) -> None:
    """Put `fresh` where `out` is. A folder cannot be renamed over a full one, so the old one steps aside first."""
    old = fresh.with_name(fresh.name + "-old")
    if out.exists():
        out.replace(old)
    fresh.replace(out)
    shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python generate.py OUT")
    target = Path(sys.argv[1]).absolute()
    changed = generate(target)
    sys.stdout.write(f"{'generated' if changed else 'up to date'}: {target}\n")
