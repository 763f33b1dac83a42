"""Numbers that are not finite, and environments that are hardly any: who is blamed, what is kept, what goes through.

A run that meets a number that is not finite ends with status 3, has its last good checkpoint and no more rows than
iterations, and keeps what led to it.
"""

import gymnasium
import numpy as np
import pytest
from test_bad_input import PRESET
from test_fuzz import TINY, run_main, sample
from test_train import flat

import minorml
from minorml.experiments.trained import initial_state
from minorml.meta import outer_loss
from minorml.methods import METHODS
from minorml.parallel import adaptation
from minorml.rl import adam
from minorml.rl.problem import make_problem
from minorml.runs import checkpoints
from minorml.runs.directory import METRICS, Run, _to_arrays

pytestmark = pytest.mark.filterwarnings("ignore")  # Gymnasium's and NumPy's, of the numbers that these tests are about
nan, inf = np.nan, np.inf


class Odd(gymnasium.Env):
    """Observes (0, 0) or what `sights` says of a step (0: the reset), pays `reward`, and ends at its step `end`."""

    observation_space = gymnasium.spaces.Box(-inf, inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    tilt = 0.0

    def __init__(self, sights=(), reward=0.0, end=99, always=(0.0, 0.0)):
        self.sights, self.reward, self.end, self.always = dict(sights), reward, end, always

    def _see(self):
        return np.array(self.sights.get(self.t, self.always), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._see(), {}

    def step(self, action):
        self.t += 1
        at_the_end = self.tilt == 1  # of its range: `tilt` has an effect, and none on the tasks that are drawn
        return self._see(), self.reward * self.t * (1 + 0.1 * at_the_end) + at_the_end, self.t == self.end, False, {}


ODDITIES = {
    "fine": {}, "endless": {}, "late": dict(sights={6: (nan, 0)}),
    "nan": dict(sights={4: (nan, 0)}), "inf": dict(sights={4: (0, -inf)}),
    "first": dict(sights={0: (nan, 0)}), "flat": dict(sights={4: 0}), "short": dict(sights={4: (0,)}),
    "long": dict(sights={4: (0, 0, 0)}), "paid-nan": dict(reward=nan), "paid-inf": dict(reward=-inf),
    "paid-much": dict(reward=1e307), "brief": dict(end=1, reward=1.0), "nothing": dict(end=1),
    "same": dict(always=(1e4, 1e4), reward=1.0), "large": dict(always=(1e30, -1e30), reward=1e30),
}
for name, options in ODDITIES.items():
    gymnasium.register(f"Odd-{name}-v0", Odd, kwargs=options, max_episode_steps=None if name == "endless" else 99)


def train_on(name, out, method="norml"):
    """Episodes of five steps → (exit status, the error's line)."""
    sizes = [option for option in PRESET[2:] if "iterations" not in option]
    status, _, err = run_main("train", "--env", f"Odd-{name}-v0", "--vary", "tilt=uniform:-1,1", "--method", method,
                              *sizes, "--set=horizon=5", "--iterations", "2", "--out", out)
    assert "Traceback" not in err
    return status, err.splitlines()[-1]


def start(run):
    """The state that a run's directory started from."""
    problem = make_problem(Run(run).config, 1)
    problem.envs.close()
    return initial_state(problem)


def assert_nothing_done(run):
    """The run has no iteration, and its checkpoint is the initial state."""
    (checkpoint,) = (run / "checkpoints").iterdir()
    assert Run(run).metrics() == [] and checkpoint.name == "iteration-000000.npz"
    assert flat(Run(run).load(start(run)).meta).tobytes() == flat(start(run).meta).tobytes()


@pytest.mark.parametrize("name, quantity, given, step", [
    ("nan", "observation", "[nan  0.]", "step 3"), ("inf", "observation", "[  0. -inf]", "step 3"),
    ("first", "observation", "[nan  0.]", "reset"), ("paid-nan", "reward", "nan", "step 0"),
    ("paid-inf", "reward", "-inf", "step 0"),
])
def test_task_and_step_are_named(tmp_path, name, quantity, given, step):
    status, error = train_on(name, tmp_path / "run")
    assert status == 3 and step in error
    assert f"{quantity}: expected finite numbers; given {given} in task 0 (tilt=+0.8906), trajectory 0" in error
    assert f"minorml replay {tmp_path}/run/failures/iteration-000001.npz" in error
    assert_nothing_done(tmp_path / "run")


@pytest.mark.parametrize("name", ["long", "short", "flat"])
def test_an_observation_of_another_shape(tmp_path, name):
    """Something outside has failed: the environment does not keep to its own space."""
    status, error = train_on(name, tmp_path / "run")
    assert status == 1 and "tasks 0 to 1" in error and "step 3" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["nan", "paid-nan", "long"])
def test_the_environment_is_named(tmp_path, name):
    assert f"Odd-{name}-v0" in train_on(name, tmp_path / "run")[1]


class Widening(gymnasium.vector.SyncVectorEnv):
    """A vector that checks nothing itself: all its observations are wider, or narrower, than its space."""

    def __init__(self, n, width):
        super().__init__([Odd] * n)
        self.width = width

    def reset(self, **options):
        observations, info = super().reset(**options)
        return np.resize(observations, (len(observations), self.width)), info

    def step(self, actions):
        observations, *rest = super().step(actions)
        return np.resize(observations, (len(observations), self.width)), *rest


@pytest.mark.parametrize("width", [1, 3, 4])
def test_a_vector_whose_observations_have_another_shape(width):
    config = minorml.Config(env="odd", vary=("tilt=uniform:0,1",), method="dr", horizon=1, num_tasks=2,
                            num_trajectories=2, hidden=(4,), iterations=1)
    with pytest.raises((minorml.WorkerError, ValueError), match=rf"observation: expected .*2\).* given .*{width}\)"):
        minorml.train(config, progress=False, make_envs=lambda n: Widening(n, width))


def test_returns_that_are_too_large(tmp_path):
    """Each reward is finite; their sums, from which the baseline is fitted, are not."""
    status, error = train_on("paid-much", tmp_path / "run")
    assert status == 3 and "baseline: states or returns so large" in error
    assert_nothing_done(tmp_path / "run")
    replayed = run_main("replay", tmp_path / "run/failures/iteration-000001.npz")[1].splitlines()
    assert "baseline: states or returns so large" in replayed[-2]
    assert replayed[-1].startswith("first not finite: rollout")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["fine", "late", "brief", "nothing", "same", "large"])
def test_what_goes_through(tmp_path, name, method):
    """Advantages without variance, episodes of one step, a singular regression; what comes after T is not looked at."""
    status, error = train_on(name, tmp_path / "run", method)
    assert status == 0, error
    rows = Run(tmp_path / "run").metrics()
    rollouts = 2 if METHODS[method].adapts else 1
    steps = 1 if "end" in ODDITIES[name] else 5
    assert [row["env_steps"] for row in rows] == [2 * 2 * rollouts * steps, 2 * 2 * 2 * rollouts * steps]
    assert np.isfinite([[row[name] for name in METRICS] for row in rows]).all()
    if name in ("fine", "late", "nothing"):  # nothing is better than anything else, and nothing is learned
        assert [(row["loss"], row["gradient_norm"]) for row in rows] == [(0, 0)] * 2
        assert flat(minorml.load(tmp_path / "run").meta).tobytes() == flat(start(tmp_path / "run").meta).tobytes()


class Spoil:
    """Puts a NaN into what passes through, once: into field number `field` of result number `call`."""

    def __init__(self, call, field, where):
        self.left, self.field, self.where = call, field, where

    def __call__(self, result):
        self.left -= 1
        if self.left != -1:
            return result
        fields = [np.array(x) if k == self.field else x for k, x in enumerate(result)]
        fields[self.field][self.where] = nan
        return type(result)._make(fields) if hasattr(result, "_make") else tuple(fields)


SPOILS = {  # what is spoilt, its calls in an update, (field, where), the error
    "loss": ("outer_loss", 1, (0, 0), "loss of task 0"),
    "a number of ∇L_out": ("outer_loss", 1, (1, (0, 0)), "gradient in theta of task 0"),
    "log σ of ∇L_out": ("outer_loss", 1, (1, (0, -1)), "gradient in theta of task 0"),  # by H v it goes into all of θ
    "gradient in θ": ("pullback", 1, (0, (0, 0)), "gradient in theta of task 0"),
    "gradient in log σ": ("pullback", 1, (0, (0, -1)), "gradient in log σ of task 0"),
    "gradient in θ_off": ("pullback", 1, (1, (0, slice(None))), "gradient in offset of task 0"),
    "gradient in ψ": ("pullback", 1, (2, (0, 3)), "gradient in psi of task 0"),
    "θ": ("step", 3, (0, 5), "theta"),
}


@pytest.mark.parametrize("what", SPOILS)
@pytest.mark.parametrize("iteration, update", [(1, 0), (3, 2)])
def test_an_update_that_is_not_finite_is_not_made(tmp_path, monkeypatch, iteration, update, what):
    """Nor are the others of its iteration kept: rows and checkpoint are the healthy run's."""
    function, calls, place, message = SPOILS[what]
    spoil = Spoil(((iteration - 1) * TINY.outer_steps + update) * calls, *place)
    adapt, step = adaptation.adapt, adam.step

    def spoilt_adapt(*arguments):
        theta_i, pullback = adapt(*arguments)
        return theta_i, lambda g: spoil(pullback(g))

    if function == "outer_loss":
        monkeypatch.setattr(adaptation, "outer_loss", lambda *arguments: spoil(outer_loss(*arguments)))
    elif function == "pullback":
        monkeypatch.setattr(adaptation, "adapt", spoilt_adapt)
    else:
        monkeypatch.setattr(adam, "step", lambda *arguments: spoil(step(*arguments)))
    run = tmp_path / "run"
    status, out, err = run_main("train", *PRESET, "--out", run)
    monkeypatch.undo()
    assert (status, out) == (3, "")
    assert err.splitlines()[-1].startswith(f"minorml: stopped: iteration {iteration}: {message}: not finite")
    assert err.endswith(f"{run}/failures/iteration-{iteration:06d}.npz\n")
    assert [path.name for path in (run / "failures").iterdir()] == [f"iteration-{iteration:06d}.npz"]
    assert [row["iteration"] for row in Run(run).metrics()] == list(range(1, iteration))
    found, healthy = Run(run).load(sample().template), _to_arrays(sample().template)[0]
    if iteration > 1:
        (tmp_path / "good.npz").write_bytes(sample().files[f"checkpoints/iteration-{iteration - 1:06d}.npz"])
        healthy, _ = checkpoints.read(tmp_path / "good.npz")
    assert found.iteration == iteration - 1
    for name, array in _to_arrays(found)[0].items():
        assert array.tobytes() == healthy[name].tobytes(), name
    status, out, _ = run_main("train", "--resume", "--out", run)
    assert status == 0 and "3 iterations" in out, "once the cause is gone, it goes on"


def test_an_exploded_log_std_is_named(tmp_path):
    status, _, err = run_main("train", *PRESET, "--set", "log_std=200", "--out", tmp_path / "run")
    assert status == 3 and "log σ of task 0 (rotation=+2.798): expected finite numbers" in err
    assert "log σ is [200. 200.]" in err
    assert_nothing_done(tmp_path / "run")


def test_an_environment_without_a_limit_takes_the_horizon_that_is_given(tmp_path):
    status, _, err = run_main("train", "--env", "Odd-endless-v0", "--vary", "tilt=uniform:0,1", "--method", "dr",
                              "--out", tmp_path / "run")
    assert status == 2 and "horizon: Odd-endless-v0 has no limit of its own; give one" in err
    assert not (tmp_path / "run").exists() and train_on("endless", tmp_path / "run")[0] == 0
    assert Run(tmp_path / "run").config.horizon == 5
