"""Python models whose start fails: what nothing but the start can tell, and what the service says of it then."""

from __future__ import annotations

from tests.corpus.case import Case
from tests.corpus.folders import ECHO, HEAD, ONE, answering, python

INITIALIZE = 'return [pb_utils.Tensor("OUT", get("IN"))]'

LIKE = "raises-at-start"
CASES = (
    Case(
        LIKE,
        python(ONE, answering(INITIALIZE, initialize='raise RuntimeError("the weights are for Mars ☃")')),
        fails="The model's Python code raised RuntimeError in 1/model.py line 9 (initialize): "
        "the weights are for Mars ☃.",
    ),
    Case(
        "refuses-to-start",
        python(ONE, answering(INITIALIZE, initialize='raise pb_utils.TritonModelException("no licence")')),
        fails="The model cannot be loaded: no licence.",
        like=LIKE,
    ),
    Case(
        "needs-a-package",
        python(ONE, "import package_that_is_not_there\n" + ECHO),
        fails="The model's Python code needs the package package_that_is_not_there, which the Triton runtime does not "
        "have.",
        like=LIKE,
    ),
    Case(
        "syntax-error",
        python(ONE, ECHO + "\n    def broken(:\n"),
        fails="The model's Python code has a syntax error in model.py line 20: invalid syntax.",
        like=LIKE,
    ),
    Case(
        "no-class",
        python(ONE, HEAD + "class Model:\n    pass\n"),
        fails="The model's model.py defines no class TritonPythonModel.",
        like=LIKE,
    ),
    Case(
        "exits-at-start",
        python(ONE, answering(INITIALIZE, initialize="import os\nos._exit(3)")),
        fails="The model's Python process ended while it was loading: it called exit, crashed, or ran out of memory.",
        like=LIKE,
    ),
)
