"""Kept failures: the file holds what the iteration had, and `replay` finds where a number first went wrong."""

import dataclasses
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from test_bad_input import PRESET
from test_fuzz import TINY, contents, run_main
from test_train import flat

import minorml
from minorml.experiments.trained import initial_state
from minorml.meta import outer_loss
from minorml.parallel import adaptation
from minorml.parallel.adaptation import sample_and_adapt
from minorml.parallel.share import Share
from minorml.rl.baseline import normalise
from minorml.rl.problem import make_problem
from minorml.rl.streams import TRAIN, draw_tasks, stream
from minorml.rl.tasks import set_tasks
from minorml.runs import failures
from minorml.runs.directory import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # of overflows

TASKS = ["task 0 (rotation=+2.798)", "task 1 (rotation=-0.5544)"]
TANH = ["activation=tanh", "laf_activation=tanh"]  # finite, where its argument is not
KINDS = {  # settings, the error, what is first not finite
    "after adaptation": ([*TANH, "inner_rate=1e30"], f"log σ of {TASKS[0]}: expected finite numbers",
                         f"σ of θ_i, {TASKS[0]}"),
    "from the start": (["log_std=200"], f"log σ of {TASKS[0]}: expected finite numbers", "σ, parameters"),
    "gradient": (["method=dr", "inner_rate=0", "log_std=-100", "horizon=1"], "gradient in theta of task 0: not finite",
                 f"log π_θi(a|s), {TASKS[0]}"),  # e^100 is too much for float32, and e^−100 is not
    "second update": ([*TANH, "outer_rate=1e10", "outer_steps=2", "inner_rate=10"], "loss of task 0: not finite",
                      "σ, parameters"),
    "update": (["outer_rate=1e300"], "theta: not finite after the update", "theta, update"),
}


def fail(out, settings, *options):
    """Train until it fails → (the error, the file of the failure)."""
    status, _, err = run_main("train", *PRESET, *(f"--set={text}" for text in settings), *options, "--out", out)
    assert status == 3
    (file,) = (out / "failures").iterdir()
    said, kept = err.splitlines()[-1].split("; look through it with: minorml replay ")
    assert kept == str(file)
    return said.removeprefix("minorml: stopped: "), file


def first(file):
    """The last line of `minorml replay`, whose first is the error of that time."""
    before = file.read_bytes()
    status, out, err = run_main("replay", file)
    assert (status, err) == (0, "") and file.read_bytes() == before
    return out.splitlines()[-1].removeprefix("first not finite: "), out


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_that_is_not_finite_is_found(tmp_path, kind):
    settings, error, where = KINDS[kind]
    said, file = fail(tmp_path / "run", settings)
    assert said.startswith("iteration 1: ") and error in said
    found, out = first(file)
    assert found == where and error in out.splitlines()[0]
    *finite, last = out.splitlines()[1:-1]
    assert all("largest" in line for line in finite) and "not finite" in last
    assert file.name == "iteration-000001.npz" and contents(file.parents[1]).keys() == {
        ".lock", "config.json", "versions.json", "spaces.json", "metrics.csv", "checkpoints/iteration-000000.npz",
        "failures/iteration-000001.npz"}


@pytest.mark.parametrize("kind", ["after adaptation", "gradient", "update"])
def test_workers_keep_the_same(tmp_path, kind):
    """The same error, and the same file byte for byte; it replays to the same answer."""
    said, file = fail(tmp_path / "alone", KINDS[kind][0])
    of_two, file_of_two = fail(tmp_path / "two", KINDS[kind][0], "--workers", "2")
    assert of_two == said and file_of_two.read_bytes() == file.read_bytes()
    assert first(file_of_two)[1].splitlines()[1:] == first(file)[1].splitlines()[1:]


def test_a_later_iteration(tmp_path, monkeypatch):
    """The file tells how many iterations were finished, and their parameters are those of the last checkpoint."""
    seen = []

    def break_down(policy, theta_i, post, clip):
        outer = outer_loss(policy, theta_i, post, clip)
        seen.append(post)
        spoilt = np.array([1, np.nan], outer.loss.dtype)
        return outer._replace(loss=outer.loss * spoilt) if len(seen) == 2 * TINY.outer_steps else outer

    monkeypatch.setattr(adaptation, "outer_loss", break_down)
    error, file = fail(tmp_path / "run", [])
    monkeypatch.undo()
    config, failure, message = failures.read(file)
    assert error.startswith("iteration 2: ") and message in error and message == "loss of task 1: not finite"
    assert (file.name, failure.iteration, failure.tasks) == ("iteration-000002.npz", 1, [1])
    assert config == TINY and failure.rate == TINY.outer_rate * (1 - 1 / 3)
    assert {name: moments.count for name, moments in failure.moments.items()} == {
        name: 2 * TINY.outer_steps - 1 for name in TINY.learned}
    assert first(file)[0] == "everything is finite this time"
    saved = minorml.load(tmp_path / "run")
    assert len(saved.metrics) == 1 and (flat(saved.meta) != flat(failure.meta)).any()  # the third update of the second
    state = Run(tmp_path / "run").load(initial_state(make_problem(config, 1)))
    assert state.iteration == 1 and {m.count for m in state.moments.values()} == {TINY.outer_steps}


def same(a, b):
    return all(x is y is None or x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("method", ["norml", "maml"])
def test_the_batches_are_those_of_the_iteration(tmp_path, method):
    """Put together again from the public pieces; normalised advantages to rounding, which is pooled another way."""
    _, file = fail(tmp_path / "run", ["outer_rate=1e300", f"method={method}", "inner_rate=0.01", "adapt_steps=2"])
    config, failure, _ = failures.read(file)
    assert config == dataclasses.replace(TINY, outer_rate=1e300, method=method, inner_rate=0.01, adapt_steps=2)
    assert (failure.iteration, failure.tasks, failure.rate) == (0, [0, 1], 1e300)
    with closing(Share(config, range(2))) as share:
        start = initial_state(share.problem)
        assert same(failure.meta, start.meta)
        assert all(same(failure.moments[name][:2], start.moments[name][:2]) and failure.moments[name].count == 0
                   for name in config.learned)
        share.sample(start.meta, 0)
        advantages = normalise(share.data.advantages)
        for (pre, post), (mine, after) in zip(failure.batches, zip(share.data.pre, share.data.post)):
            assert len(pre) == 2 and all(map(same, pre, mine))
            assert same(post._replace(advantages=None), after)
        np.testing.assert_allclose(np.stack([post.advantages for _, post in failure.batches]), np.stack(advantages),
                                   rtol=1e-5, atol=1e-6)


def test_the_sigma_that_is_blamed_is_infinite(tmp_path):
    """By another way than `replay`'s: the iteration's own code, up to the rollout that failed."""
    _, file = fail(tmp_path / "run", KINDS["after adaptation"][0])
    config, failure, _ = failures.read(file)
    problem = make_problem(config)
    set_tasks(problem.envs, draw_tasks(config, 0), config.num_trajectories)
    with closing(problem.envs), np.errstate(all="ignore"):
        rngs = [stream(config.seed, TRAIN, 0, i) for i in range(2)]
        _, _, theta, _ = sample_and_adapt(problem, failure.meta, 1, rngs)
        assert np.isfinite(theta[0]).all()
        assert np.isinf(np.exp(problem.policy.split(theta[0])[1])).any()


class Lottery(gymnasium.Env):
    """Observes nothing, and pays what comes, times `luck`; or else observes `sight` in its third step."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    luck = 0.0
    sight = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.float32([self.sight if self.t == 3 else 0]), self.luck * self.np_random.normal(), False, False, {}


class BlindLottery(Lottery):
    sight = np.nan


def fail_at(out, kind, **fields):
    config = minorml.Config(env="a lottery", vary=("luck=choice:1,2",), method="dr", horizon=4, num_tasks=2,
                            num_trajectories=4, hidden=(4,), iterations=2, **fields)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as error:
        minorml.train(config, out, progress=False, make_envs=lambda n: SyncVectorEnv([kind] * n))
    (file,) = (out / "failures").iterdir()
    return str(error.value), failures.replay(file, lambda n: SyncVectorEnv([kind] * n))[0]


def test_an_overflow_in_adam(tmp_path):
    """The gradient goes with 1/σ and fits in float32, and is not shortened; its square does not fit."""
    error, lines = fail_at(tmp_path / "run", Lottery, log_std=-55.0, max_gradient_norm=1e38)
    assert "moment" in error or "theta" in error
    assert lines[-1][:3] == ("update", "Adam's second moment of theta", None)
    (gradient,) = [largest for _, name, largest, _ in lines if name == "gradient in theta"]
    assert 1e19 < gradient < 3e38
    assert flat(minorml.load(tmp_path / "run", lambda n: SyncVectorEnv([Lottery] * n)).meta).max() < 1


def test_an_observation(tmp_path):
    """It is in no batch; sampled again, it is found again."""
    error, lines = fail_at(tmp_path / "run", BlindLottery)
    told = "observation: expected finite numbers; given [nan] in task 0 (luck=+"
    assert told in error and "trajectory 0, step 2" in error
    assert lines[-1][:3] == ("sampling", "rollout", None) and lines[-1][3] in error


@pytest.mark.parametrize("wrong, quantity", [("loss", "L_out"), ("gradient", "∇L_out")])
def test_the_outer_loss(tmp_path, monkeypatch, wrong, quantity):
    def outer(*arguments):
        outer = outer_loss(*arguments)
        return outer._replace(**{wrong: outer._asdict()[wrong] / np.float32(0)})

    for module in (adaptation, failures):
        monkeypatch.setattr(module, "outer_loss", outer)
    error, file = fail(tmp_path / "run", [])
    assert f"{wrong}{' in theta' * (wrong == 'gradient')} of task 0: not finite" in error
    assert first(file)[0] == f"{quantity}, {TASKS[0]}"


def test_from_another_folder(tmp_path):
    """And in a process of its own, by a relative name."""
    _, file = fail(tmp_path / "run", ["outer_rate=1e300"])
    done = subprocess.run(
        [sys.executable, "-m", "minorml", "replay", f"failures/{file.name}"], cwd=tmp_path / "run", text=True,
        capture_output=True, timeout=120, env={**os.environ, "PYTHONPATH": str(Path(minorml.__file__).parents[1])})
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.splitlines()[0] == f"failures/{file.name}: theta: not finite after the update"
    assert done.stdout.splitlines()[1:] == first(file)[1].splitlines()[1:]


def test_a_checkpoint_is_no_failure(tmp_path):
    _, file = fail(tmp_path / "run", ["outer_rate=1e300"])
    checkpoint = tmp_path / "run/checkpoints/iteration-000000.npz"
    status, out, err = run_main("replay", checkpoint)
    assert (status, out) == (2, "")
    assert err.startswith(f"minorml: {checkpoint}: not a failure that was kept, or damaged (")
