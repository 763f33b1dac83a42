"""Anybody's environment: Gymnasium's own, as they are, and one that the package has never heard of."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import minorml
from minorml.__main__ import main
from minorml.rl.problem import make_problem
from minorml.rl.rollout import rollout
from minorml.runs.directory import Run

TINY = dict(method="norml", horizon=12, num_tasks=2, num_trajectories=2, hidden=(4,), laf_hidden=(4,), iterations=2)


class Slope(gymnasium.Env):
    """A ball on a slope that is somebody's own: ended when it has rolled 1 away; observes place and speed."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    tilt = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.normal(size=2) / 10
        return self.state.astype(np.float32), {}

    def step(self, action):
        self.state = self.state + 0.3 * np.array([self.state[1], float(action[0]) + self.tilt])
        return self.state.astype(np.float32), -abs(self.state[0]), bool(abs(self.state[0]) > 1), False, {}


def make_slopes(n):
    return SyncVectorEnv([Slope] * n)


SLOPE = minorml.Config(env="a slope", vary=("tilt=uniform:-0.5,0.5",), **TINY)


def test_a_vector_environment_of_ones_own():
    trained = minorml.train(SLOPE, make_envs=make_slopes, progress=False)
    tasks = [{"tilt": 0.1}, {"tilt": -0.4}, {"tilt": 0.4}]
    assert len(minorml.finetune(trained, tasks, make_envs=make_slopes)) == 3
    assert len(minorml.evaluate(trained, tasks, repetitions=2, make_envs=make_slopes)) == 3 * 3


@pytest.mark.parametrize("env, vary", [
    ("Pendulum-v1", ("g=uniform:5,15",)), ("Pendulum-v1", ("m=uniform:0.5,2", "l=choice:0.5,1")),
    ("MountainCarContinuous-v0", ("power=uniform:0.001,0.002",)),
])
def test_gymnasiums_own(env, vary):
    metrics = minorml.train(minorml.Config(env=env, vary=vary, **TINY), progress=False).metrics
    assert metrics[-1]["env_steps"] == 2 * 2 * (2 * 2 * 12)


def test_final_states_are_kept_and_dead_transitions_are_not():
    """Gymnasium resets a copy in the step after its end: that step is no transition of anybody's."""
    problem = make_problem(SLOPE, make_envs=make_slopes)
    problem.envs.set_attr("tilt", 0.5)
    theta = problem.policy.init(np.random.default_rng(0), -1.0, np.float64)
    rngs = [np.random.default_rng(i) for i in range(2)]
    (one, _) = rollout(problem.envs, problem.policy, np.stack([theta] * 2), 30, rngs)
    assert (one.alive.sum(axis=1) < 30).all()
    batch = one.batch()
    expected = batch.states + 0.3 * np.stack([batch.states[:, 1], batch.actions[:, 0] + 0.5], axis=1)
    np.testing.assert_allclose(batch.next_states, expected, atol=1e-6)  # observations are float32
    ended = np.abs(batch.next_states[:, 0]) > 1
    np.testing.assert_array_equal(np.flatnonzero(ended), np.cumsum(one.alive.sum(axis=1)) - 1)


def test_scales():
    """The policy sees observations divided, and the environment gets actions multiplied."""
    plain = make_problem(SLOPE, make_envs=make_slopes)
    theta = plain.policy.init(np.random.default_rng(0), -1.0, np.float64)

    def sample(**scales):
        (one,) = rollout(make_slopes(2), plain.policy, theta[None], 5, [np.random.default_rng(0)], **scales)
        return one

    one, scaled = sample(), sample(obs_scale=(2.0, 4.0))
    np.testing.assert_allclose(scaled.states[:, 0], one.states[:, 0] / [2, 4])
    pushed = sample(action_scale=(3.0,)).batch()
    np.testing.assert_allclose(pushed.next_states[:, 1], pushed.states[:, 1] + 0.9 * pushed.actions[:, 0], atol=1e-6)


@pytest.mark.parametrize("fields, message", [
    (dict(obs_scale=(1.0,)), r"obs_scale: expected 2 numbers, or none; given \(1.0,\)"),
    (dict(action_scale=(1.0, 2.0)), r"action_scale: expected 1 numbers, or none; given \(1.0, 2.0\)"),
    (dict(vary=("colour=uniform:0,1",)), "has no attribute 'colour'|colour"),
])
def test_what_does_not_fit(fields, message):
    with pytest.raises(ValueError, match=message):
        minorml.train(SLOPE, make_envs=make_slopes, progress=False, **fields)


def test_a_vector_that_hides_the_last_observation_is_refused():
    with pytest.raises(ValueError, match="autoreset mode: expected NEXT_STEP.*given AutoresetMode.SAME_STEP"):
        minorml.train(SLOPE, progress=False,
                      make_envs=lambda n: SyncVectorEnv([Slope] * n, autoreset_mode=AutoresetMode.SAME_STEP))


PENDULUM = ["--env", "Pendulum-v1", "--vary", "g=uniform:5,15", "--method", "norml"]
SMALL = ["--iterations", "2", *(x for text in ("num_tasks=2", "num_trajectories=2", "hidden=4", "laf_hidden=4")
                              for x in ("--set", text))]


def test_from_the_command_line(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", *PENDULUM, *SMALL, "--out", str(run)]) == 0
    assert Run(run).config.horizon == 200, "Pendulum's own limit"
    assert main(["evaluate", str(run), "--tasks", "2", "--repetitions", "1"]) == 0
    assert "g=+7.5" in capsys.readouterr().out
    assert main(["train", "--resume", "--out", str(run)]) == 0  # the run knows its configuration


@pytest.mark.parametrize("options, message", [
    ([], "expected --preset ENV/METHOD, or --env ID with --vary and --method"),
    (["--env", "Pendulum-v1"], "--env: expected --vary and --method too"),
    ([*PENDULUM[:2], "--method", "norml"], "--env: expected --vary too"),
    (["--env", "Pendulum-v9", *PENDULUM[2:]], "env: cannot make 'Pendulum-v9'"),
    (["--env", "CartPole-v1", "--vary", "gravity=uniform:5,15", "--method", "norml"],
     "action space: expected a Box of one dimension and of real numbers; given Discrete"),
    ([*PENDULUM[:3], "gravity=uniform:5,15", *PENDULUM[4:]], "gravity"),
    ([*PENDULUM[:3], "g", *PENDULUM[4:]], "vary: expected NAME=uniform:LOW,HIGH"),
    ([*PENDULUM[:3], "g=uniform:", *PENDULUM[4:]], "vary: expected NAME=uniform:LOW,HIGH"),
])
def test_wrong_input_exits_with_2_and_writes_nothing(tmp_path, capsys, options, message):
    assert main(["train", *options, *SMALL, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err and not (tmp_path / "run").exists()
