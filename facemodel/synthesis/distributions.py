"""Distributions as fields of a configuration."""

from __future__ import annotations

from typing import NamedTuple


class Range(NamedTuple):
    """Uniform between two limits."""

    low: float
    high: float

    def from_uniform(self, uniform):
        """Maps [0, 1) to the range."""
        return self.low + (self.high - self.low) * uniform

    def problem(self) -> str:
        """What is wrong with these numbers; empty if nothing is."""
        return f"low {self.low} is above high {self.high}" if self.low > self.high else ""


class Normal(NamedTuple):
    """Normal, cut off at two limits."""

    mean: float
    sd: float
    low: float
    high: float

    def from_normal(self, normal):
        """Maps N(0, 1) to the distribution."""
        from keras import ops

        return ops.clip(self.mean + self.sd * normal, self.low, self.high)

    def problem(self) -> str:
        """What is wrong with these numbers; empty if nothing is."""
        if self.sd < 0 or not self.low <= self.mean <= self.high:
            return f"sd should be >= 0 and the mean between low and high, got {self}"
        return ""
