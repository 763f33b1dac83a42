"""Other people's environments, machines and habits: what is silently wrong elsewhere is refused or told here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import SyncVectorEnv
from test_bad_input import run_main

import minorml
from minorml.parallel import threads

ROOT = Path(__file__).resolve().parent.parent
TINY = ["--set=num_tasks=2", "--set=num_trajectories=2", "--set=hidden=4", "--set=laf_hidden=4", "--iterations=2",
        "--method=norml"]


class Plain(gymnasium.Env):
    """A mass that `tilt` pulls. The others have a peculiarity each."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)
    tilt = 0.0
    label = "north"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.s = self.np_random.normal(size=2) / 10
        return self.s.astype(np.float32), {}

    def step(self, action):
        self.s = self.s + 0.3 * np.array([self.s[1], float(action[0]) + self.pull()])
        return self.s.astype(np.float32), -abs(float(self.s[0])), False, False, {}

    def pull(self):
        return self.tilt


class Derived(Plain):
    """What it uses was computed from the attribute in `__init__`."""

    def __init__(self):
        self.slope = 2 * self.tilt

    def pull(self):
        return self.slope


class Redraws(Plain):
    def reset(self, **options):
        answer = super().reset(**options)
        self.tilt = self.np_random.uniform(-1, 1)
        return answer


class Positive(Plain):
    action_space = Box(5, 35, (1,), np.float32)


class IntAction(Plain):
    action_space = Box(0, 10, (1,), np.int64)


class Breaks(Plain):
    def step(self, action):
        raise RuntimeError("the belt came off")


for environment in [Plain, *Plain.__subclasses__()]:
    gymnasium.register(f"Border{environment.__name__}-v0", environment, max_episode_steps=20)


def try_to_train(name, out, *options, vary="tilt=uniform:-1,1"):
    return run_main("train", "--env", f"Border{name}-v0", "--vary", vary, *TINY, "--out", out, *options)


@pytest.mark.parametrize("name, vary, message", [
    ("Derived", "tilt=uniform:-1,1", "tilt = -1 and 1 gave the same trajectories for 20 steps"),
    ("Redraws", "tilt=uniform:-1,1", r"tilt was set to -1 and 1, and is \S+ and \S+ after reset"),
    ("IntAction", "tilt=uniform:-1,1", "action space: expected a Box of one dimension and of real numbers"),
    *[("Plain", f"{name}=uniform:0,1", "expected a number")
      for name in ("action_space", "step", "close", "reset", "metadata", "observation_space", "np_random")],
    ("Plain", "label=uniform:0,1", "expected a number; label is 'north'"),
    ("Plain", "pull=uniform:0,1", "expected a number; pull is <bound method"),
])
def test_refused_and_nothing_written(tmp_path, name, vary, message):
    status, out, err = try_to_train(name, tmp_path / "run", vary=vary)
    assert status == 2 and re.search(message, err) and "Traceback" not in err and not out, err
    assert not (tmp_path / "run").exists()


def test_actions_outside_of_the_space_are_told_and_can_be_mapped_into_it(tmp_path):
    status, _, err = try_to_train("Positive", tmp_path / "a")
    assert status == 0 and "100% of the first policy's actions lie outside of the environment's Box(5.0, 35.0" in err
    status, _, err = try_to_train("Positive", tmp_path / "b", "--set=action_scale=15", "--set=action_offset=20")
    assert status == 0 and "lie outside" not in err
    with pytest.raises(ValueError, match="action_offset: expected 1 numbers, or none"):
        minorml.train(minorml.load(tmp_path / "b").config, action_offset=(1.0, 2.0))


def test_an_offset_arrives_with_the_actions():
    seen = []

    class Listens(Plain):
        def step(self, action):
            seen.append(float(action[0]))
            return super().step(action)

    config = minorml.Config(env="x", vary=("tilt=uniform:-1,1",), method="dr", horizon=3, num_tasks=2, iterations=1,
                            num_trajectories=2, hidden=(4,), action_scale=(1e-3,), action_offset=(7.0,))
    minorml.train(config, progress=False, make_envs=lambda n: SyncVectorEnv([Listens] * n))
    assert seen[-1] == pytest.approx(7, abs=0.1)


def test_an_environment_that_raises_is_one_line_and_status_1(tmp_path):
    status, _, err = try_to_train("Breaks", tmp_path / "run")
    assert status == 1 and "the belt came off, in step 0" in err and "Traceback" not in err, err


def test_numpy_numbers_are_numbers():
    config = minorml.Config(env="x", vary=["a=uniform:0,1"], method="dr", horizon=np.int64(3), seed=np.int64(1),
                            outer_rate=np.float64(1e-3), hidden=np.array([8, 8]), learn_alpha=np.bool(True),
                            obs_scale=np.array([1.0, 2.0]), discount=np.array(0.5))
    assert (config.seed, config.hidden, config.outer_rate) == (1, (8, 8), 1e-3)
    assert type(config.seed) is type(config.hidden[0]) is int and type(config.discount) is float
    for wrong in dict(seed=np.float64(1.5)), dict(hidden=np.array([8.0])), dict(outer_rate=np.float64(np.nan)):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
            minorml.Config(**{**dict(env="x", vary=("a=uniform:0,1",), method="dr", horizon=3), **wrong})


def test_make_envs_that_cannot_travel(tmp_path):
    config = minorml.preset("point/norml")
    with pytest.raises(ValueError, match="make_envs: .* cannot be sent to another process .* define it in a module"):
        minorml.train(config, tmp_path / "run", workers=2, progress=False, make_envs=lambda n: None or _point(n))
    assert not (tmp_path / "run").exists()


def _point(n):
    return gymnasium.make_vec("minorml_envs:minorml/PointRotation-v0", n)


def test_version_and_help():
    def run(*options):
        return subprocess.run([sys.executable, "-m", "minorml", *options], cwd=ROOT, capture_output=True, text=True)

    assert run("--version").stdout == f"minorml {minorml.__version__}\n"
    nothing = run()
    assert nothing.returncode == 0 and "usage: minorml" in nothing.stdout and "train" in nothing.stdout
    shown = run("evaluate", "nowhere", "--traceback")
    assert shown.returncode == 2 and "Traceback" in shown.stderr
    assert shown.stderr.splitlines()[-1].startswith("minorml: ")


def test_a_reader_who_has_had_enough():
    pipeline = f"{sys.executable} -m minorml train --help | head -1"
    ended = subprocess.run(["bash", "-c", pipeline], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout.startswith("usage:") and not ended.stderr


@pytest.mark.parametrize("given, expected", [("3", 3), ("2,1", 2), ("0", 1), ("", None), ("many", None)])
def test_threads(monkeypatch, given, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    threads.num_threads.cache_clear()
    assert threads.num_threads() == (expected or threads.available_cores())
    threads.num_threads.cache_clear()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no processor affinity")
def test_the_cores_that_a_process_may_use():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert threads.available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


SUMS = """
from minorml.kernels.recurrences import discounted_sums
import numpy as np
print(discounted_sums(np.ones((1, 3)), 0.5)[0, 0])
"""


def test_compiled_code_is_never_stale_and_damage_is_mended(tmp_path):
    """A copy of the kernels, whose cache stays while a source, or the cache itself, changes."""
    shutil.copytree(ROOT / "minorml", tmp_path / "minorml", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run():
        ended = subprocess.run([sys.executable, "-W", "always::RuntimeWarning", "-c", SUMS], cwd=tmp_path,
                               env=environment, capture_output=True, text=True, check=True)
        return ended.stdout.strip(), ended.stderr

    assert run() == ("1.75", "")
    entries = list((tmp_path / "cache").rglob("*.nbi")) + list((tmp_path / "cache").rglob("*.nbc"))
    before = {path: path.stat().st_mtime_ns for path in entries}
    assert entries and run() == ("1.75", "")
    assert {path: path.stat().st_mtime_ns for path in entries} == before  # taken from the cache
    for path in entries:
        for damage in b"", path.read_bytes()[:-20]:
            path.write_bytes(damage)
            answer, said = run()
            assert answer == "1.75"
            assert "compiled code is damaged" in said or path.suffix == ".nbi", (path, said)
            assert run() == ("1.75", "")
    for other in "recurrences.py", "tile.py":  # the function's own file, and another's
        path = tmp_path / "minorml" / "kernels" / other
        stamps = {entry: entry.read_bytes() for entry in entries if entry.suffix == ".nbi"}
        text = path.read_text(encoding="utf-8").replace("rows[n, t] + discount", "rows[n, t] + 2 * discount")
        path.write_text(text + "#\n", encoding="utf-8")
        assert run() == ("3.0", "")
        assert any(entry.read_bytes() != old for entry, old in stamps.items())
