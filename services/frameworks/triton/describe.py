"""What a folder of model files says to the form, the checks and the launch, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.frameworks.triton import config as configs
from services.frameworks.triton.study import study
from services.specs import ModelDescription


def describe(tree: Path, options: Mapping[str, Any]) -> ModelDescription:
    """Shapes are as config.pbtxt has them: without the batch dimension when max_batch_size is set."""
    made = study(tree, options)
    if made.config is None:
        return ModelDescription(
            config_text=made.config_text, problems=tuple(made.problems), notes=tuple(made.notes)
        )
    return ModelDescription(
        inputs=configs.tensors(made.config.input), outputs=configs.tensors(made.config.output),
        backend=configs.backend(made.config), max_batch_size=made.config.max_batch_size,
        decoupled=made.config.model_transaction_policy.decoupled, sequences=configs.has_sequences(made.config),
        config_text=made.config_text,
        problems=tuple(made.problems), notes=tuple(made.notes), comparison=made.comparison, suggested=made.suggested,
        executable=made.executable,
    )
