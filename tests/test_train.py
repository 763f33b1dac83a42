"""The outer loop: it is reproducible, it resumes exactly, it learns, it stops where numbers go wrong."""

import dataclasses
from contextlib import closing

import numpy as np
import pytest

import minorml
from minorml import Config, preset
from minorml.experiments.train import _update, iterate
from minorml.experiments.trained import initial_state
from minorml.meta import meta_gradient, outer_loss
from minorml.methods import METHODS
from minorml.parallel.adaptation import sample_and_adapt
from minorml.parallel.share import Share
from minorml.parallel.workers import WorkerPool
from minorml.rl import adam
from minorml.rl.problem import make_problem
from minorml.rl.streams import stream

SMALL = dict(num_tasks=3, num_trajectories=4, hidden=(8,), laf_hidden=(8,), iterations=4)


def small(name="point/norml", **fields):
    return dataclasses.replace(preset(name), **{**SMALL, **fields})


def flat(meta):
    return np.concatenate(meta)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_changes_just_what_it_learns(method):
    config = small(f"point/{method}")
    problem = make_problem(config)
    start = initial_state(problem).meta
    trained = minorml.train(config, progress=False)
    for name in start._fields:
        changed = (getattr(start, name) != getattr(trained.meta, name)).any()
        assert changed == (name in config.learned), name
        assert getattr(trained.meta, name).dtype == np.float32
    assert len(trained.metrics) == 4 and np.isfinite([list(row.values()) for row in trained.metrics]).all()


def test_initial_state():
    problem = make_problem(small())
    meta = initial_state(problem).meta
    weights, log_std = problem.policy.split(meta.theta)
    assert (log_std == np.float32(-0.75)).all() and (meta.alpha == 3).all() and (meta.offset == 0).all()
    assert 0 < np.abs(weights).max() <= 0.2 and np.abs(meta.psi).max() <= 0.2  # cut at two deviations of 0.1


def test_same_seed_same_bytes_and_another_seed_another_run():
    one, same, other = (minorml.train(small(seed=seed), progress=False) for seed in (1, 1, 2))
    assert flat(one.meta).tobytes() == flat(same.meta).tobytes()
    assert flat(one.meta).tobytes() != flat(other.meta).tobytes()


def test_the_update_is_adam_on_the_mean_of_the_meta_gradients(monkeypatch):
    """One iteration, put together again from the public pieces; its gradient is longer than the limit."""
    config = small(dtype="float64", iterations=10, outer_steps=1, max_gradient_norm=1e-3, theta_rate=0.25)
    problem = make_problem(config)
    state = initial_state(problem)
    seen = []

    def remember(policy, theta_i, post, clip):
        seen.extend(post._make(fields) for fields in zip(*post))
        return outer_loss(policy, theta_i, post, clip)

    monkeypatch.setattr("minorml.parallel.adaptation.outer_loss", remember)
    monkeypatch.setattr("minorml.rl.threads.num_threads", lambda: 1)  # one task after the other
    with WorkerPool(config) as team:
        after, row = iterate(problem, team, state)
    with closing(Share(config, range(3))) as share:
        _, rngs = share.begin(0)
        _, pre, _, _ = sample_and_adapt(share.problem, state.meta, 1, rngs)
    results = [meta_gradient(problem.policy, problem.laf, problem.method, state.meta, mine, post, config.clip)
               for mine, post in zip(pre, seen)]
    gradient = np.mean([flat(g) for _, g in results], axis=0)
    learned = np.concatenate([np.full(x.shape, name in config.learned) for name, x in state.meta._asdict().items()])
    norm = np.linalg.norm(gradient[learned])
    assert norm > 2 * config.max_gradient_norm
    shortened = gradient * config.max_gradient_norm / norm
    moments = np.concatenate([after.moments[name].first for name in state.meta._fields
                              if name in config.learned])
    np.testing.assert_allclose(moments, 0.1 * shortened[learned], rtol=1e-6)
    moved = flat(after.meta) - flat(state.meta)
    expected = np.where(learned, -config.outer_rate * shortened / (np.abs(shortened) + 1e-8), 0)  # Adam's first step
    expected[:state.meta.theta.size] *= config.theta_rate
    np.testing.assert_allclose(moved, expected, rtol=1e-6, atol=1e-15)
    assert row["loss"] == pytest.approx(np.mean([loss for loss, _ in results]), abs=1e-12)
    assert row["gradient_norm"] == pytest.approx(norm)
    every_advantage = np.concatenate([post.advantages for post in seen])
    assert every_advantage.mean() == pytest.approx(0, abs=1e-12) and every_advantage.std() == pytest.approx(1)


def test_theta_may_stay_as_it_began():
    """While all else learns as it does."""
    still, moving = (initial_state(make_problem(small(theta_rate=rate))).meta for rate in (0.0, 1.0))
    after = minorml.train(small(theta_rate=0.0), progress=False).meta
    assert still.theta.tobytes() == moving.theta.tobytes() == after.theta.tobytes()
    assert (after.offset != still.offset).any() and (after.psi != still.psi).any()


def test_the_clip_acts_from_the_second_outer_step_on():
    first, several = (minorml.train(small(outer_steps=n, outer_rate=0.05), progress=False).metrics for n in (1, 4))
    assert all(row["clip_fraction"] == 0 for row in first)
    assert all(row["clip_fraction"] > 0 for row in several)


def test_no_update_from_returns_that_are_all_equal():
    """Adam would go on in the direction of earlier gradients, and nothing would hold it."""
    problem = make_problem(small("point-sparse/norml", horizon=1))  # one step, and −1 for each
    state = initial_state(problem)
    before = state._replace(moments={name: adam.Moments(one.first + 1, one.second + 1, 3)
                                     for name, one in state.moments.items()})
    with WorkerPool(problem.config) as pool:
        after, row = iterate(problem, pool, before)
    assert row["post_return"] == -1 and row["post_return_std"] == 0 and row["gradient_norm"] == 0
    assert flat(after.meta).tobytes() == flat(before.meta).tobytes() and after.moments == before.moments


def test_updates_for_a_batch_end_when_many_rows_are_clipped(monkeypatch):
    """One update more than there are shares of clipped rows within the limit; the first, whose share is 0, is made."""
    made = []

    def update(*arguments):
        made.append(arguments)
        return _update(*arguments)

    monkeypatch.setattr("minorml.experiments.train._update", update)
    fields = dict(outer_rate=0.05, iterations=1)
    shares = [minorml.train(small(outer_steps=n + 1, **fields), progress=False).metrics[0]["clip_fraction"]
              for n in range(4)]
    assert shares[0] == 0 < shares[1]
    for limit in (0.0, shares[1], 1.0):
        made.clear()
        row, = minorml.train(small(outer_steps=4, max_clip_fraction=limit, **fields), progress=False).metrics
        beyond = next((n for n, share in enumerate(shares) if share > limit), 4)
        assert len(made) == beyond and row["clip_fraction"] == shares[min(beyond, 3)]


def test_two_adaptation_steps_explore_twice():
    metrics = minorml.train(small(adapt_steps=2), progress=False).metrics
    assert metrics[0]["episodes"] == 3 * 4 * 3 and metrics[0]["env_steps"] == 3 * 4 * 3 * 10


def test_domain_randomization_rolls_out_once():
    metrics = minorml.train(small("point/dr"), progress=False).metrics
    assert metrics[0]["episodes"] == 3 * 4 and metrics[0]["pre_return"] == metrics[0]["post_return"]


def test_learned_advantage_methods_never_see_a_reward_when_they_adapt(monkeypatch):
    problem = make_problem(small())
    meta = initial_state(problem).meta
    rngs = [[stream(0, i) for i in range(3)] for _ in range(2)]
    _, _, adapted, _ = sample_and_adapt(problem, meta, 2, rngs[0])
    advance = problem.envs._advance
    monkeypatch.setattr(problem.envs, "_advance", lambda s, a: (advance(s, a)[0], np.full(12, 1e9), advance(s, a)[2]))
    _, _, blind, _ = sample_and_adapt(problem, meta, 2, rngs[1])
    assert adapted.shape == (3, len(meta.theta)) and adapted.tobytes() == blind.tobytes()


def test_norml_learns_the_point_agent():
    """A little of the real thing: in 60 iterations adaptation begins to help (full runs: README, Results)."""
    metrics = minorml.train("point/norml", iterations=60, progress=False).metrics
    before, after = (np.mean([row[name] for row in metrics[-10:]]) for name in ("pre_return", "post_return"))
    start = np.mean([row["post_return"] for row in metrics[:5]])
    assert after > before + 1 and after > start + 5


def test_a_diverging_run_stops_before_the_update_and_names_the_quantity(tmp_path):
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"iteration \d+: .*(not finite|finite)"):
        minorml.train(small(inner_rate=1e30), tmp_path / "run", progress=False)
    assert np.isfinite(flat(minorml.load(tmp_path / "run").meta)).all()


@pytest.mark.parametrize("fields, message", [
    (dict(env="minorml_envs:minorml/NoSuch-v0"), "env: cannot make 'minorml_envs:minorml/NoSuch-v0'"),
    (dict(env="nomodule:X-v0"), "env: cannot make 'nomodule:X-v0'"),
    (dict(vary=("mass=uniform:0,1",)), "has no task attribute 'mass'; it has rotation"),
    (dict(env="CartPole-v1"), "action space: expected a Box of one dimension and of real numbers; given Discrete"),
])
def test_environments_that_do_not_fit(fields, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        minorml.train(small(**fields), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_config_is_a_public_name():
    assert isinstance(small(), Config)


def test_inner_advantages_are_normalised_per_task():
    problem = make_problem(small("point/maml", dtype="float64"))
    rngs = [stream(0, i) for i in range(3)]
    _, batches, _, _ = sample_and_adapt(problem, initial_state(problem).meta, 1, rngs)
    for (batch,) in batches:
        assert batch.advantages.mean() == pytest.approx(0, abs=1e-12) and batch.advantages.std() == pytest.approx(1)
