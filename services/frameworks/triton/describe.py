"""What a folder of model files says to the form, the checks and the launch, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets.inspect.triton import ensembles
from services.frameworks.triton import config as configs
from services.frameworks.triton.inspection import Inspection
from services.frameworks.triton.repository import Repository, study
from services.specs import CALLED, MAIN, STEP, ModelDescription, ServedModel


def describe(tree: Path, options: Mapping[str, Any], service: str = "") -> ModelDescription:
    """Shapes are as config.pbtxt has them: without the batch dimension when max_batch_size is set.

    `service`: the name of the service, "" while it has none.
    """
    repository = study(tree, options, service)
    main = repository.main
    if main.config is None:
        return ModelDescription(
            config_text=main.config_text, problems=tuple(repository.problems), notes=tuple(repository.notes)
        )
    return ModelDescription(
        inputs=configs.tensors(main.config.input),
        outputs=configs.tensors(main.config.output),
        backend=configs.backend(main.config),
        max_batch_size=main.config.max_batch_size,
        decoupled=is_decoupled(repository),
        sequences=any(one.config is not None and configs.has_sequences(one.config) for one in repository.models),
        classes=configs.classified(main.config),
        optional=tuple(tensor.name for tensor in main.config.input if tensor.optional),
        completes=any(one.completes for one in repository.models),
        config_text=main.config_text,
        problems=tuple(repository.problems),
        notes=tuple(repository.notes),
        comparison=main.comparison,
        suggested=main.suggested,
        executable=repository.executable,
        models=models_of(repository),
    )


def is_decoupled(repository: Repository) -> bool:
    """What the file of an ensemble says of that counts for nothing: Triton looks at the steps."""
    config = repository.main.config
    if ensembles.is_ensemble(config):
        return ensembles.is_decoupled(config, repository.members)
    return bool(config.model_transaction_policy.decoupled)


def models_of(repository: Repository) -> tuple[ServedModel, ...]:
    """None of a service of one model, which is called as the service."""
    if not repository.main.folder:
        return ()
    steps = {
        step
        for one in repository.models
        if one.config is not None and ensembles.is_ensemble(one.config)
        for step in ensembles.steps_of(one.config)
    }

    def served(one: Inspection) -> ServedModel:
        role = MAIN if one is repository.main else STEP if one.name in steps else CALLED
        return ServedModel(one.folder, configs.backend(one.config) if one.config is not None else "", role)

    return tuple(map(served, repository.models))
