"""The five methods, as rows of one table. They differ only in the inner step and in what is learned.

| method            | L_in                          | A            | learned     |
|-------------------|-------------------------------|--------------|-------------|
| `dr`              | none                          |              | θ           |
| `maml`            | −mean_n Â_n ρ_n(θ)            | from rewards | θ, α        |
| `norml-no-laf`    | −mean_n Â_n ρ_n(θ)            | from rewards | θ, α, θ_off |
| `norml-no-offset` | mean_n A_ψ,n log π_θ(a_n|s_n) | learned      | θ, ψ        |
| `norml`           | mean_n A_ψ,n log π_θ(a_n|s_n) | learned      | θ, ψ, θ_off |

What is not learned keeps its first value: 0 for θ_off, the preset's `inner_rate` for α. A preset can also have α
learned by a method that does not learn it by itself (`learn_alpha`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import advantage, surrogate


class Method(NamedTuple):
    """One row of the table."""

    name: str
    surrogate: Callable  # (x, advantages, old_log_probs) ↦ Rows, of `minorml/surrogate.py`
    advantage: Callable  # (laf, psi, batch) ↦ (A, vjp), of `minorml/advantage.py`
    learned: tuple[str, ...]  # fields of MetaParameters

    @property
    def adapts(self) -> bool:
        return self.surrogate is not surrogate.no_form

    @property
    def uses_rewards(self) -> bool:
        """Whether the inner step needs advantages estimated from rewards."""
        return self.adapts and self.advantage is advantage.estimated


def _no_advantage(laf, psi, batch):
    """Zeros, which do not depend on ψ, for a method without an inner step."""
    return np.zeros_like(batch.states[..., 0]), lambda w: np.zeros(w.shape[:-1] + psi.shape, psi.dtype)


METHODS = {row.name: row for row in [
    Method("dr", surrogate.no_form, _no_advantage, ("theta",)),
    Method("maml", surrogate.ratio_form, advantage.estimated, ("theta", "alpha")),
    Method("norml-no-laf", surrogate.ratio_form, advantage.estimated, ("theta", "alpha", "offset")),
    Method("norml-no-offset", surrogate.log_form, advantage.learned, ("theta", "psi")),
    Method("norml", surrogate.log_form, advantage.learned, ("theta", "psi", "offset")),
]}
