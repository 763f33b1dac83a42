"""The five methods: rows of one table, and what each row leaves alone."""

import numpy as np
import pytest
from strategies import meta_case

from minorml.gradcheck import assert_close
from minorml.meta import MetaParameters, adapt, meta_gradient
from minorml.methods import METHODS

# name: learned fields, whether it adapts, whether its inner step uses rewards. Design table of Yang et al. 2019.
EXPECTED = {
    "dr": ({"theta"}, False, False),
    "maml": ({"theta", "alpha"}, True, True),
    "norml-no-laf": ({"theta", "alpha", "offset"}, True, True),
    "norml-no-offset": ({"theta", "psi"}, True, False),
    "norml": ({"theta", "psi", "offset"}, True, False),
}
each_method = pytest.mark.parametrize("name", EXPECTED)


def test_the_table_has_these_rows():
    assert set(METHODS) == set(EXPECTED)
    assert all(row.name == name for name, row in METHODS.items())


@each_method
def test_row(name):
    learned, adapts, uses_rewards = EXPECTED[name]
    row = METHODS[name]
    assert set(row.learned) == learned and len(row.learned) == len(learned)
    assert learned <= set(MetaParameters._fields)
    assert (row.adapts, row.uses_rewards) == (adapts, uses_rewards)


@pytest.mark.gradients
@each_method
def test_what_is_learned_has_a_gradient(name):
    """Every field a method learns moves its loss; ψ and α have gradient zero where the inner step has none of them."""
    learned, adapts, uses_rewards = EXPECTED[name]
    _, gradient = meta_gradient(*meta_case(name))
    assert all(getattr(gradient, field).any() for field in learned)
    assert gradient.alpha.any() == adapts
    assert gradient.psi.any() == (adapts and not uses_rewards)


@pytest.mark.gradients
@each_method
def test_the_inner_step_descends_on_the_surrogate_of_its_row(name):
    """θ + θ_off − θ_i = α ∘ ∇L_in, with ∇L_in from the scores: mean −Â ρ ∇log π from rewards, mean A_ψ ∇log π else."""
    policy, laf, row, meta, (batch,), _ = meta_case(name)
    _, adapts, uses_rewards = EXPECTED[name]
    s, a, next_s, advantages, old = batch
    weights = (-advantages * np.exp(policy.log_prob(meta.theta, s, a) - old) if uses_rewards
               else laf.value(meta.psi, s, a, next_s))
    step = meta.alpha * (weights @ policy.scores(meta.theta, s, a)) / len(s)
    theta_i, _ = adapt(policy, laf, row, meta, batch)
    assert_close(theta_i, meta.theta + meta.offset - adapts * step, 1e-14)
