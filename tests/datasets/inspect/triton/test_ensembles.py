"""Ensembles against the models of their steps, by Triton's rules, and which models of a repository are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.inspect.budget import Budget
from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.triton import ensembles, repository
from datasets.inspect.triton.ensembles import Member
from tests.repositories import FLOATS, chain, config, ensemble, step, write

STREAMING = "model_transaction_policy { decoupled: true }"
TWO = {"x": FLOATS, "b": FLOATS}


def members(**texts: str) -> dict[str, Member]:
    parsed = {name: pbtxt.parse(text) for name, text in texts.items()}
    return {name: Member(one, pbtxt.backend(one), (1,)) for name, one in parsed.items()}


def problems(flow: str, **texts: str) -> list[str]:
    models = members(flow=flow, **texts)
    return ensembles.problems(models["flow"].config, models, "flow")


GOOD = {
    "a chain": (chain("a", "b"), {"a": config(), "b": config()}),
    "the same model twice": (chain("a", "a"), {"a": config()}),
    "an optional input of a step, left out": (
        chain("a"),
        {"a": config(inputs={"x": FLOATS, "b": (*FLOATS, "optional: true")})},
    ),
    "an output of a step that nobody needs": (chain("a"), {"a": config(outputs={"y": FLOATS, "z": FLOATS})}),
    "a batching ensemble with a step of whole shapes": (
        chain("a", "b", batch=4),
        {"a": config(batch=8), "b": config(inputs={"x": ("FP32", "-1, -1")}, outputs={"y": ("FP32", "-1, -1")})},
    ),
    "an ensemble of whole shapes with steps that batch": (
        chain("a", inputs={"IN": ("FP32", "-1, -1")}, outputs={"OUT": ("FP32", "-1, 3")}),
        {"a": config(batch=8)},
    ),
    "a reshaped input": (
        chain("a", batch=4, inputs={"IN": ("FP32", "1, 3", "reshape { shape: [3] }")}),
        {"a": config(batch=4, inputs={"x": ("FP32", "3")})},
    ),
    "a namespace, which Triton puts there itself": (
        ensemble(step("a", {"x": "IN"}, {"y": "OUT"}, more='model_namespace: "n"')),
        {"a": config()},
    ),
    "an output that is an input": (chain("a", outputs={"OUT": FLOATS, "IN": FLOATS}), {"a": config()}),
    "a model that says its tensors when it is loaded": (chain("a"), {"a": 'backend: "python"'}),
    "version 1": (ensemble(step("a", {"x": "IN"}, {"y": "OUT"}, version="1")), {"a": config()}),
    "an ensemble in an ensemble": (
        ensemble(step("inner", {"IN": "IN"}, {"OUT": "OUT"})),
        {"inner": chain("a"), "a": config()},
    ),
    "one decoupled step": (chain("a", "b"), {"a": config(more=STREAMING), "b": config()}),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_triton_takes_has_no_problems(case: str) -> None:
    flow, models = GOOD[case]
    assert problems(flow, **models) == []


BAD = {
    "no platform": (
        chain("a").replace('platform: "ensemble"', ""),
        {"a": config()},
        ('An ensemble needs platform: "ensemble" and no backend in config.pbtxt.'),
    ),
    "a backend": (
        chain("a").replace("platform:", "backend:"),
        {"a": config()},
        ('An ensemble needs platform: "ensemble" and no backend in config.pbtxt.'),
    ),
    "instances": (
        chain("a", more="instance_group { count: 2 }"),
        {"a": config()},
        ("An ensemble has no instance_group: leave it out of config.pbtxt."),
    ),
    "warm-up": (
        chain("a", more='model_warmup { name: "w" }'),
        {"a": config()},
        ("An ensemble has no model_warmup: leave it out of config.pbtxt."),
    ),
    "optimization": (
        chain("a", more="optimization { priority: PRIORITY_MAX }"),
        {"a": config()},
        ("An ensemble has no optimization: leave it out of config.pbtxt."),
    ),
    "no steps": (
        'platform: "ensemble"',
        {},
        ("config.pbtxt is of an ensemble and names no steps: add ensemble_scheduling { step […] }."),
    ),
    "a model that is not there": (
        chain("a", "b"),
        {"a": config()},
        ("Step 2 of the ensemble names the model 'b', which is not beside it (there is a, flow)."),
    ),
    "no version": (
        ensemble(step("a", {"x": "IN"}, {"y": "OUT"}, version="")),
        {"a": config()},
        (
            "Step 1 of the ensemble names no version, which Triton takes for version 0: "
            "write model_version: -1 for the newest."
        ),
    ),
    "a version that is not loaded": (
        ensemble(step("a", {"x": "IN"}, {"y": "OUT"}, version="3")),
        {"a": config()},
        ("Step 1 of the ensemble asks for version 3 of a, of which is loaded: 1."),
    ),
    "a step without outputs": (
        ensemble(step("a", {"x": "IN"}, {"y": "OUT"}), step("a", {"x": "IN"}, {})),
        {"a": config()},
        ("Step 2 of the ensemble lacks output_map."),
    ),
    "an input of a step left out": (
        chain("a"),
        {"a": config(inputs=TWO)},
        (
            "Step 1 of the ensemble leaves out the input 'b' of a: map it, or write optional: true in the config.pbtxt "
            "of a."
        ),
    ),
    "an input that the step has not": (
        ensemble(step("a", {"x": "IN", "q": "IN"}, {"y": "OUT"})),
        {"a": config()},
        ("Step 1 of the ensemble maps the input 'q', which a does not have."),
    ),
    "an output that the step has not": (
        ensemble(step("a", {"x": "IN"}, {"q": "OUT"})),
        {"a": config()},
        ("Step 1 of the ensemble maps the output 'q', which a does not have."),
    ),
    "other types": (
        chain("a", "b"),
        {"a": config(), "b": config(inputs={"x": ("INT32", "-1")})},
        ("The tensor 't1' is TYPE_FP32 in a and TYPE_INT32 in b: they must agree."),
    ),
    "another type of the ensemble": (
        chain("a", inputs={"IN": ("INT64", "-1")}),
        {"a": config()},
        ("The tensor 'IN' is TYPE_INT64 in the ensemble and TYPE_FP32 in a: they must agree."),
    ),
    "other shapes": (
        chain("a", "b"),
        {"a": config(outputs={"y": ("FP32", "3")}), "b": config(inputs={"x": ("FP32", "4")})},
        ("The tensor 't1' is [3] in a and [4] in b: they must agree."),
    ),
    "other ranks": (
        chain("a", batch=2),
        {"a": config(batch=2, inputs={"x": ("FP32", "-1, 4")})},
        ("The tensor 'IN' is [-1, -1] in the ensemble and [-1, -1, 4] in a: they must agree."),
    ),
    "smaller batches of a step": (
        chain("a", batch=4),
        {"a": config(batch=2)},
        (
            "The ensemble takes batches of up to 4, and its step a of up to 2: "
            "lower max_batch_size of the ensemble, or raise that of a."
        ),
    ),
    "a tensor that is written twice": (
        ensemble(step("a", {"x": "IN"}, {"y": "OUT"}), step("a", {"x": "IN"}, {"y": "OUT"})),
        {"a": config()},
        ("Step 2 of the ensemble writes the tensor 'OUT', which the ensemble has already: give it another name."),
    ),
    "an input that is written": (
        ensemble(step("a", {"x": "IN"}, {"y": "IN"}), step("a", {"x": "IN"}, {"y": "OUT"})),
        {"a": config()},
        ("Step 1 of the ensemble writes the tensor 'IN', which the ensemble has already: give it another name."),
    ),
    "an input that nobody reads": (
        chain("a", inputs={"IN": FLOATS, "MORE": FLOATS}),
        {"a": config()},
        ("No step of the ensemble reads its input 'MORE': leave it out, or map it."),
    ),
    "an output that nobody writes": (
        chain("a", outputs={"OUT": FLOATS, "MORE": FLOATS}),
        {"a": config()},
        ("No step of the ensemble writes its output 'MORE': leave it out, or map it."),
    ),
    "a tensor from nowhere": (
        ensemble(step("a", {"x": "IN", "b": "nowhere"}, {"y": "OUT"})),
        {"a": config(inputs=TWO)},
        ("A step of the ensemble reads the tensor 'nowhere', which is no input of it, and which no step writes."),
    ),
    "a tensor to nowhere": (
        ensemble(step("a", {"x": "IN"}, {"y": "OUT", "z": "spare"})),
        {"a": config(outputs={"y": FLOATS, "z": FLOATS})},
        ("The tensor 'spare' of the ensemble is written and not read: take it out of the output_map."),
    ),
    "steps that wait for each other": (
        ensemble(
            step("a", {"x": "IN"}, {"y": "OUT"}), step("a", {"x": "p"}, {"y": "q"}), step("a", {"x": "q"}, {"y": "p"})
        ),
        {"a": config()},
        ("Steps of the ensemble wait for each other: those that write p, q."),
    ),
    "itself": (
        ensemble(step("flow", {"IN": "IN"}, {"OUT": "OUT"})),
        {},
        ("The ensemble flow calls itself: Triton allows no circle."),
    ),
    "a circle of ensembles": (
        ensemble(step("other", {"IN": "IN"}, {"OUT": "OUT"})),
        {"other": ensemble(step("flow", {"IN": "IN"}, {"OUT": "OUT"}))},
        ("The ensemble flow calls itself through its step other: Triton allows no circle."),
    ),
    "two decoupled steps that meet": (
        ensemble(
            step("a", {"x": "IN"}, {"y": "p"}),
            step("b", {"x": "IN"}, {"y": "q"}),
            step("c", {"x": "p", "b": "q"}, {"y": "OUT"}),
        ),
        {"a": config(more=STREAMING), "b": config(more=STREAMING), "c": config(inputs=TWO)},
        (
            "Step 3 of the ensemble reads tensors that come from different decoupled models, which Triton does not "
            "allow."
        ),
    ),
    "outputs with and without a decoupled step": (
        ensemble(
            step("a", {"x": "IN"}, {"y": "OUT"}),
            step("b", {"x": "IN"}, {"y": "MORE"}),
            outputs={"OUT": FLOATS, "MORE": FLOATS},
        ),
        {"a": config(more=STREAMING), "b": config()},
        ("The outputs of the ensemble come from different decoupled models, which Triton does not allow."),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_triton_refuses_is_said_with_what_to_do(case: str) -> None:
    flow, models, expected = BAD[case]
    assert problems(flow, **models) == [expected]


def test_an_ensemble_is_decoupled_when_a_step_is_and_not_when_its_file_says_so() -> None:
    models = members(
        outer=ensemble(step("inner", {"IN": "IN"}, {"OUT": "OUT"})),
        inner=chain("a"),
        a=config(more=STREAMING),
        plain=chain("b", more=STREAMING),
        b=config(),
    )
    decoupled = {name: ensembles.is_decoupled(models[name].config, models) for name in ("outer", "inner", "plain")}
    assert decoupled == {"outer": True, "inner": True, "plain": False}


REPOSITORIES = {
    "the only model": ({"a": config()}, "a"),
    "the only ensemble": ({"a": config(), "flow": chain("a")}, "flow"),
    "the ensemble that is no step of another": (
        {"a": config(), "inner": chain("a"), "outer": ensemble(step("inner", {"IN": "IN"}, {"OUT": "OUT"}))},
        "outer",
    ),
    "two ensembles": ({"a": config(), "one": chain("a"), "two": chain("a")}, "several ensembles (one, two)"),
    "no ensemble": ({"a": config(), "b": config()}, "no ensemble"),
    "a circle": ({"one": chain("two"), "two": chain("one")}, "ensembles that call each other"),
}


@pytest.mark.parametrize("case", REPOSITORIES)
def test_the_model_that_callers_call_is_the_ensemble_or_has_to_be_named(case: str) -> None:
    texts, expected = REPOSITORIES[case]
    name, why = repository.choose(members(**texts))
    assert name == expected or expected in why


def test_a_named_model_must_be_there() -> None:
    models = members(a=config(), flow=chain("a"))
    assert repository.choose(models, "a") == ("a", "")
    assert repository.choose(models, "b") == ("", "There is no model b here. Models: a, flow.")


def test_a_config_that_cannot_be_read_may_be_the_ensemble_that_callers_call(tmp_path: Path) -> None:
    write(tmp_path, {"a/config.pbtxt": config(), "inner/config.pbtxt": chain("a"), "outer/config.pbtxt": "platform:"})
    models = repository.read(tmp_path, ["a", "inner", "outer"], Budget())
    name, why = repository.choose(models)
    assert not name and why.startswith("outer: config.pbtxt is broken at line 1"), why
    assert why.endswith("Correct it, or name the model that callers call in the option model.")
    assert repository.choose(models, "inner") == ("inner", "")


def test_what_nothing_can_call_is_not_loaded() -> None:
    models = members(
        flow=chain("neg", "abs"),
        neg=config("onnxruntime"),
        abs=config("onnxruntime"),
        other=config("onnxruntime"),
        code=config(),
    )
    assert repository.loaded("flow", models) == ["flow", "neg", "abs"]
    assert repository.loaded("neg", models) == ["neg"]
    assert repository.loaded("code", models) == ["code", "abs", "flow", "neg", "other"], "code may call any of them"


@pytest.mark.parametrize("name", ["a;id", "a b", "$(id)", "a'b", "a&b", "a\nid", "`id`"])
def test_no_name_gets_into_the_shell_that_starts_a_model(name: str) -> None:
    assert "Rename it." in repository.name_problem(name)
    assert repository.name_problem("A_good-name.v2") == ""


@pytest.mark.slow
def test_many_steps_take_no_longer_than_their_number_asks_for() -> None:
    """Each compared with every other, they would take half an hour."""
    count = 10_000
    steps = [step("a", {"x": f"t{i}"}, {"y": f"t{i + 1}"}) for i in reversed(range(count))]
    flow = ensemble(*steps, inputs={"t0": FLOATS}, outputs={f"t{count}": FLOATS})
    assert problems(flow, a=config()) == []


def test_ensembles_that_share_their_steps_are_each_looked_at_once() -> None:
    """Along each way through them, 60 ensembles would take hours."""
    wired = [{"IN": "IN"}, {"OUT": "OUT"}]
    models = {
        f"{side}{i}": ensemble(step(f"l{i + 1}", *wired), step(f"r{i + 1}", *wired)) for i in range(30) for side in "lr"
    }
    all_models = members(**models, l30=config(more=STREAMING), r30=config())
    assert ensembles.is_decoupled(all_models["l0"].config, all_models)
    assert not ensembles.is_decoupled(all_models["l0"].config, {**all_models, "l30": all_models["r30"]})
