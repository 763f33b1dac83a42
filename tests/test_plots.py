"""The figures, and the numbers in them."""

import dataclasses

import numpy as np
import pytest
from test_finetune import untrained

import minorml
from minorml.experiments import plots, published
from minorml.policy import GaussianPolicy
from minorml.runs.directory import Run

pytest.importorskip("matplotlib", reason="optional extra `plot`")


def drawn(path):
    return path.read_bytes().startswith(b"\x89PNG")


def test_groups_differ_in_nothing_but_the_seed(tmp_path):
    configs = [untrained(seed=seed, outer_steps=steps).config for steps in (1, 5) for seed in (0, 1)]
    for i, config in enumerate([*configs, untrained("point/dr").config]):
        minorml.train(config, tmp_path / str(i), progress=False, iterations=1 + i % 2)
    runs = [Run(path) for path in sorted(tmp_path.iterdir())]
    assert {label: len(group) for label, group in plots.groups(runs).items()} == {
        "point/norml iterations=1 outer_steps=1": 1, "point/norml iterations=2 outer_steps=1": 1,
        "point/norml iterations=1 outer_steps=5": 1, "point/norml iterations=2 outer_steps=5": 1, "point/dr": 1}
    assert drawn(plots.learning_curves(runs, tmp_path / "figures/learning.png"))


def test_trailing_mean():
    np.testing.assert_allclose(published.trailing_mean([3.0, 5.0, 1.0, 9.0], 2), [3, 4, 3, 5])
    np.testing.assert_allclose(published.trailing_mean([3.0, 5.0], 9), [3, 4])
    np.testing.assert_array_equal(published.trailing_mean([3.0, 5.0], 1), [3, 5])


def test_learning_curves_of_runs_that_ended_early_or_have_not_begun(tmp_path):
    for seed, rows in enumerate((4, 2, 0)):
        minorml.train(untrained(seed=seed).config, tmp_path / str(seed), progress=False)
        metrics = tmp_path / str(seed) / "metrics.csv"
        metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:rows + 1]))
    runs = [Run(path) for path in sorted(tmp_path.iterdir())]
    assert drawn(plots.learning_curves(runs, tmp_path / "learning.png"))


@pytest.mark.parametrize("name", ["dr", "dr " + "vary=a_long_name=choice:0.123456 " * 5])
def test_the_legend_of_learning_curves_is_on_the_figure(tmp_path, monkeypatch, name):
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    minorml.train(untrained().config, tmp_path / "run", progress=False)
    many = {f"{name}-{i}": [Run(tmp_path / "run")] for i in range(9)}
    monkeypatch.setattr(plots, "groups", lambda runs: many)
    plots.learning_curves([], tmp_path / "learning.png")
    (figure,) = figures
    figure.canvas.draw()
    legend, room = figure.legends[0].get_window_extent(), figure.bbox
    assert room.x0 <= legend.x0 < legend.x1 <= room.x1


def steady(trained, action, log_std):
    """The same, with a policy that does `action` everywhere."""
    policy = GaussianPolicy(2, 2, trained.config.hidden)
    theta = np.zeros_like(trained.meta.theta)
    theta[policy.mlp.num_params - 2:policy.mlp.num_params] = action  # the last bias
    theta[policy.mlp.num_params:] = log_std
    return trained._replace(meta=trained.meta._replace(theta=theta, offset=np.zeros_like(theta)))


def test_spread_of_the_point_agent():
    config = dataclasses.replace(untrained().config, horizon=3, num_trajectories=4000)
    trained = steady(minorml.Trained(config, untrained().meta, []), (0, 0), np.log(0.1))
    tasks = [{"rotation": 1.0}, {"rotation": -2.0}]
    stages = plots.point_stages(trained, tasks)
    assert list(stages) == ["meta-policy θ", "θ + θ_off", "fine-tuned θ_i"]
    for trajectories, spread in stages["meta-policy θ"]:
        assert spread.position_std == pytest.approx(0.1 * np.sqrt(2 * 3), rel=0.05)  # two coordinates, three steps
        assert spread.sigma == pytest.approx(0.1)
        assert spread.mean_return == trajectories.returns.mean() and spread.return_std == trajectories.returns.std()
        assert spread.first_step == pytest.approx(-trajectories.rewards[:, 0].mean(), rel=1e-6)
    assert list(plots.point_stages(untrained("point/maml"), tasks)) == ["meta-policy θ", "fine-tuned θ_i"]
    assert list(plots.point_stages(untrained("point/dr"), tasks)) == ["meta-policy θ"]


def test_paths_end_where_the_episode_does():
    """In the sparse task, within 0.1 of the goal (1, 0)."""
    trained = steady(untrained("point-sparse/norml"), (0.5, 0), -20)
    (one, _), = plots.point_stages(trained, [{"rotation": 0.0}])["meta-policy θ"]
    for path in plots._paths(one):
        np.testing.assert_allclose(path, [[0, 0], [0.5, 0], [1, 0]], atol=1e-6)


def test_vectors_are_turned_as_the_environment_turns_them():
    turned = plots._turned(np.array([1.0, 0.0]), np.array([0, np.pi / 2]))
    np.testing.assert_allclose(turned, [[1, 0], [0, 1]], atol=1e-9)
    np.testing.assert_allclose(plots._turned(np.array([[0.0, 1.0]]), np.pi / 2), [[-1, 0]], atol=1e-9)


def test_only_a_point_in_its_own_units_is_drawn():
    """In others, positions would have to be turned back."""
    assert plots.is_point(untrained().config) and not plots.is_point(untrained("cartpole/norml").config)
    assert not any(plots.is_point(untrained(**scaled).config)
                   for scaled in ({"obs_scale": (0.5, 0.5)}, {"action_scale": (2.0, 2.0)}))


@pytest.mark.parametrize("name", ["point/norml", "point/norml-no-offset", "point-sparse/norml", "point-goal/norml"])
def test_figures_of_the_point_agent(tmp_path, name):
    trained = untrained(name, horizon=3)
    assert drawn(plots.point_trajectories({"a": trained, "b": untrained("point/dr", horizon=3)}, tmp_path / "t.png", 1))
    assert drawn(plots.learned_advantage(trained, tmp_path / "a.png", 2))
    assert drawn(plots.advantage_over_angle([trained, trained], tmp_path / "o.png"))
