"""Rules about the labels of nodes, as in a Kubernetes node affinity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationInfo

from services.schema.kinds import Kind, refuse

LABEL: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./]{0,251}[A-Za-z0-9])?")
IN, NOT_IN, EXISTS, DOES_NOT_EXIST, GT, LT = "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"
OPERATORS: Final = (IN, NOT_IN, EXISTS, DOES_NOT_EXIST, GT, LT)


@dataclass(frozen=True)
class Label(Kind):
    def check(self, value: Any) -> str:
        if not isinstance(value, str) or not LABEL.fullmatch(value):
            refuse("Must be a node label such as gpu.product.")
        return value


def fit_operator(values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    operator = info.data.get("operator")
    if operator in {EXISTS, DOES_NOT_EXIST} and values:
        refuse(f"{operator} takes no values.")
    if operator in {GT, LT} and not (len(values) == 1 and re.fullmatch(r"-?\d+", values[0])):
        refuse(f"{operator} takes exactly one whole number.")
    if operator in {IN, NOT_IN} and not values:
        refuse(f"{operator} needs at least one value.")
    return values
