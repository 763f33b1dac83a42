"""The example of a robot: a process that knows nothing of minorml explores, and gets the policy adapted to its log."""

import ast
import csv
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_export import expected, make_policy

import minorml
from envs.point import PointRotationVectorEnv
from minorml.deployment.export import export

EXAMPLE = Path(__file__).resolve().parent.parent / "docs/examples/robot"


@pytest.fixture(scope="module")
def robot():
    spec = importlib.util.spec_from_file_location("robot", EXAMPLE / "robot.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_example(*options):
    return subprocess.run([sys.executable, EXAMPLE / "run.py", *map(str, options)], capture_output=True, text=True)


def test_the_robot_imports_nothing_but_numpy():
    nodes = list(ast.walk(ast.parse((EXAMPLE / "robot.py").read_text(encoding="utf-8"))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported - sys.stdlib_module_names == {"numpy"} and "importlib" not in imported


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_the_robot_runs_the_policy_that_was_exported(robot, activation, tmp_path):
    policy = make_policy(activation=activation, dtype=np.float64)
    export(policy, tmp_path / "policy.npz")
    observation, noise = np.array([0.5, -1.0, 2.0]), np.array([1.0, -0.5])
    np.testing.assert_allclose(robot.Policy(tmp_path / "policy.npz").act(observation, noise),
                               expected(policy, observation[None], noise)[0], rtol=1e-12)


def test_the_robot_moves_as_the_environment_does(robot):
    rng, envs = np.random.default_rng(0), PointRotationVectorEnv(1, max_episode_steps=10)
    envs.set_attr("rotation", [-0.9])
    observation, _ = envs.reset(seed=0)
    actions = iter(rng.normal(size=(robot.STEPS, 2)) * 1.5)  # some beyond what the motors take, and into walls

    class Replay:
        def act(self, observation, standard_normal):
            return next(actions)

    observations, commanded = robot.run_episode(Replay(), robot.Motors(-0.9), np.zeros((robot.STEPS, 2)))
    for before, action, after in zip(observations, commanded, observations[1:]):
        np.testing.assert_allclose(before, observation[0], atol=1e-12)
        observation, *_ = envs.step(action[None])
        np.testing.assert_allclose(after, observation[0], atol=1e-12)


def test_robots_do_better_after_adaptation(tmp_path):
    """60 iterations: a mean return of −10.0 before adaptation, where robots stay at the start, and −0.75 after."""
    pytest.importorskip("matplotlib", reason="optional extra `plot`")
    done = run_example("--iterations", 60, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [[float(x) for x in re.findall(r"-?\d+\.\d+", line)] for line in done.stdout.splitlines()
            if re.match(r" +-?\d\.\d ", line)]
    assert done.stdout.count("the log fits") == 4
    assert len(rows) == 4 and all(after > before / 2 for _, before, after in rows)
    assert (tmp_path / "robot.png").stat().st_size > 10_000
    for i in range(4):
        folder = tmp_path / f"robot-{i}"
        assert (folder / "explorer.npz").read_bytes() == (tmp_path / "robot-0" / "explorer.npz").read_bytes()
        assert (folder / "adapted.npz").read_bytes() != (folder / "explorer.npz").read_bytes()
        with open(folder / "log.csv", newline="") as file:
            header, *log = csv.reader(file)
        assert header == ["episode", "step", "observation_0", "observation_1", "action_0", "action_1"]
        assert len(log) == minorml.preset("point/norml").num_trajectories * 11


@pytest.mark.parametrize("preset, told", [("cartpole-small/norml", "CartPoleSensorBias-v0"),
                                          ("point/maml", "given maml")])
def test_a_run_that_is_not_for_this_robot_is_refused(preset, told, tmp_path):
    minorml.train(preset, tmp_path / "run", iterations=1, num_tasks=1, num_trajectories=2, progress=False)
    done = run_example("--run", tmp_path / "run", "--out", tmp_path / "out")
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
