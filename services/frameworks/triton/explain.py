"""Why Triton gave up, in one sentence, from the last lines of its log.

Every rule was written from the log of a real failing start (tests/services/frameworks/triton/testdata/logs). Without a
GPU Triton always logs CUDA, NVML and DCGM errors: they are harmless and no rule looks at them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

MAX_DETAIL: Final = 400
PLACE: Final = re.compile(r"(?:/repository/[^/]+/)?([^/\s]+(?:/[^/\s]+)?)\((\d+)\): (\S+)$")
LOADING_OF: Final = re.compile(r'"loading: (.+):\d+"$')
PYTHON_ERROR: Final = re.compile(r"(?P<kind>[A-Za-z_][\w.]*): (?P<text>.*)")


def explain(log: Sequence[str]) -> str:
    """One sentence; "" when the log says nothing that helps."""
    for rules in (CAUSES, SYMPTOMS, LAST_WORDS):
        for line in reversed(log):  # the log may hold several starts: the latest counts
            for pattern, say in rules:
                if match := pattern.search(line):
                    return which(match, log) + say(match)
    return ""


def which(match: re.Match[str], log: Sequence[str]) -> str:
    """The model that a rule is about, where Triton loads several."""
    models = {loading[1] for line in log if (loading := LOADING_OF.search(line))}
    name = match.groupdict().get("model")
    return f"{name}: " if name and len(models) > 1 else ""


def load_failure(match: re.Match[str]) -> str:
    """What follows "failed to load '<model>' version <n>:" is the backend's own text, with newlines escaped."""
    lines = [line.strip() for line in match["text"].rstrip().rstrip('"').split("\\n")]
    first = lines[0][:MAX_DETAIL].rstrip(".")
    for pattern, sentence in LOADING:
        if cause := pattern.search(first):
            return sentence.format(*cause.groups())
    python = PYTHON_ERROR.match(first)
    if python and ("At:" in lines or python["kind"].endswith(("Error", "Exception"))):
        return python_failure(python, lines[1:])
    return f"Triton could not load the model: {first}."


def python_failure(match: re.Match[str], trace: Sequence[str]) -> str:
    kind, text = match["kind"], match["text"] or "(no message)"
    return f"The model's Python code raised {kind}{in_frame(trace)}: {text}."


def in_frame(trace: Sequence[str]) -> str:
    """Where in the model's own files: the innermost frame that lies in the generated repository."""
    for line in trace:
        if "/repository/" in line and (match := PLACE.search(line)):
            return f" in {match[1]} line {match[2]} ({match[3]})"
    return ""


LOADING: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"^ModuleNotFoundError: No module named '([^']+)'"),
        "The model's Python code needs the package {0}, which the Triton runtime does not have.",
    ),
    (
        re.compile(r"^SyntaxError: (.*?) \((\S+), line (\d+)\)"),
        "The model's Python code has a syntax error in {1} line {2}: {0}.",
    ),
    (re.compile(r"no attribute 'TritonPythonModel'"), "The model's model.py defines no class TritonPythonModel."),
    (
        re.compile(r"^Stub process '[^']*' is not healthy"),
        "The model's Python process ended while it was loading: it called exit, crashed, or ran out of memory.",
    ),
    (re.compile(r"^TritonModelException: (.*)"), "The model cannot be loaded: {0}."),
    (
        re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : (?:Load model from \S+ failed:\s*)?(.*)"),
        "onnxruntime cannot load the model: {0}.",
    ),
    (
        re.compile(r"has kind KIND_GPU but no GPUs are available"),
        "The model asks for a GPU and Triton finds none that it can use on this node.",
    ),
    (
        re.compile(r"unable to find backend library for backend '([^']+)'"),
        "The model needs the Triton backend {0}, which this runtime does not have.",
    ),
    (
        re.compile(r"Unable to initialize shared memory key '[^']*' to requested size \((\d+) bytes\)"),
        "There is not enough shared memory in /dev/shm: {0} bytes were asked for. Free some, or run fewer instances.",
    ),
)


def _say(sentence: str) -> Callable[[re.Match[str]], str]:
    return lambda match: sentence.format(*(group.rstrip('"').rstrip(" .") for group in match.groups()))


Rules = tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]
CAUSES: Final[Rules] = (
    (
        re.compile(r"console: a Python process of the model has ended"),
        _say("A Python process of the model ended while it was serving: it crashed or ran out of memory."),
    ),
    (
        re.compile(r"failed to start (HTTP|GRPC|Metrics) service: .*Socket '([^']+)' already in use"),
        _say("The {0} port {1} is in use by another process."),
    ),
    (
        re.compile(r"Error parsing text-format inference\.ModelConfig: (\d+):(\d+): (.*)"),
        _say("config.pbtxt is broken at line {0}, column {1}: {2}."),
    ),
    (re.compile(r"failed to load '(?P<model>[^']*)' version \d+: (?:[A-Z][a-z ]+): (?P<text>.*)"), load_failure),
    (
        re.compile(r"at least one version must be available"),
        _say("The model has no version folder that Triton can load."),
    ),
)
SYMPTOMS: Final[Rules] = (
    (re.compile(r'"Invalid argument: ((?:in )?ensemble .*)'), _say("Triton refused the ensemble: {0}.")),
    (re.compile(r"Poll failed for model directory '[^']*': (.*)"), _say("Triton refused config.pbtxt: {0}.")),
    (
        re.compile(r"error while loading shared libraries: ([^:]+):"),
        _say("The Triton runtime cannot run on this machine: the library {0} is missing. Run `make runtime-triton`."),
    ),
)
LAST_WORDS: Final[Rules] = (
    (re.compile(r"failed to start \w+ service: (.*)"), _say("Triton could not open its ports: {0}.")),
    (re.compile(r"^error: creating server: (.*)"), _say("Triton could not start: {0}.")),
)
