"""One line of usage: what was counted of some requests, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.gateway.usage_lines import BOUNDS_MS, BUCKETS, MEASURES

PLAIN: Final = tuple(name for name in MEASURES if name not in BUCKETS)
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Measured:
    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0
    limited: int = 0
    cancelled: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    ms: int = 0
    """Milliseconds of the requests that ended well, together."""
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)
    """Requests under each of BOUNDS_MS and not under the one before; the last bucket holds longer ones."""

    @classmethod
    def of(cls, sums: Sequence[int]) -> Measured:
        """From sums in the order of usage_lines.MEASURES."""
        return cls(**dict(zip(PLAIN, sums, strict=False)), buckets=tuple(sums[len(PLAIN) :]))

    def __add__(self, other: Measured) -> Measured:
        buckets = tuple(a + b for a, b in zip(self.buckets, other.buckets, strict=True))
        return Measured(**{name: getattr(self, name) + getattr(other, name) for name in PLAIN}, buckets=buckets)

    @property
    def succeeded(self) -> int:
        return self.requests - self.client_errors - self.server_errors - self.limited - self.cancelled

    @property
    def errors(self) -> int:
        return self.client_errors + self.server_errors + self.limited

    @property
    def mean_ms(self) -> float | None:
        return round(self.ms / self.succeeded, 1) if self.succeeded > 0 else None

    @property
    def p50(self) -> float | None:
        return self.quantile(QUANTILES["p50"])

    @property
    def p95(self) -> float | None:
        return self.quantile(QUANTILES["p95"])

    @property
    def p99(self) -> float | None:
        return self.quantile(QUANTILES["p99"])

    def quantile(self, share: float) -> float | None:
        """Milliseconds in which that share of the good requests was answered; None when there were none.

        Within a bucket requests are taken to be spread evenly; of the longest ones only the lower bound is known.
        """
        rank = share * sum(self.buckets)
        if rank <= 0:
            return None
        before, low = 0, 0
        for count, high in zip(self.buckets, BOUNDS_MS, strict=False):
            if before + count >= rank:
                return round(low + (high - low) * (rank - before) / count, 2)
            before, low = before + count, high
        return float(low)


@dataclass(frozen=True)
class Point:
    """What one service, key or team used: in one interval, or in the whole time that was asked for."""

    group: str
    """The service's name, the key's id or the team's name; "" where a request did not come so far, OTHER_TEAM."""
    label: str
    """For people."""
    at: datetime | None
    """When the interval began; None for the whole time."""
    used: Measured
