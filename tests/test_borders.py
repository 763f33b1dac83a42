"""Other people's environments, machines and habits: what is silently wrong elsewhere is refused or told here."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import SyncVectorEnv
from test_bad_input import run_main

import minorml
from minorml.rl import threads
from minorml.runs.progress import Progress

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


COMPILING = "minorml: compiling, once on this machine (half a minute or less)\n"


def test_compiled_code_is_never_stale_and_damage_is_mended(tmp_path):
    """A copy of the kernels, whose cache stays while a source, or the cache itself, changes."""
    shutil.copytree(ROOT / "minorml", tmp_path / "minorml", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run():
        ended = subprocess.run([sys.executable, "-W", "always::RuntimeWarning", "-c", SUMS], cwd=tmp_path,
                               env=environment, capture_output=True, text=True, check=True)
        return ended.stdout.strip(), ended.stderr

    assert run() == ("1.75", COMPILING)
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
            assert run() == ("1.75", "")  # as if nothing had been
    for other in "recurrences.py", "tile.py":  # the function's own file, and another's
        path = tmp_path / "minorml" / "kernels" / other
        stamps = {entry: entry.read_bytes() for entry in entries if entry.suffix == ".nbi"}
        text = path.read_text(encoding="utf-8").replace("rows[n, t] + discount", "rows[n, t] + 2 * discount")
        path.write_text(text + "#\n", encoding="utf-8")
        assert run() == ("3.0", COMPILING)
        assert any(entry.read_bytes() != old for entry, old in stamps.items())


# --- Somebody else's code raises --------------------------------------------------------------------------------------


class Asserts(Positive):
    def step(self, action):
        if not self.action_space.contains(action):
            raise AssertionError  # as an assert does outside of pytest, which explains those in its tests
        return super().step(action)


class FourValues(Plain):
    def step(self, action):
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class ArrayReward(Plain):
    def step(self, action):
        observation, reward, *others = super().step(action)
        return observation, np.array([reward]), *others


class TwoRewards(Plain):
    def step(self, action):
        observation, reward, *others = super().step(action)
        return observation, np.array([reward, reward]), *others


class CannotBeMade(Plain):
    def __init__(self):
        raise OverflowError("too many belts")


class BreaksLater(Plain):
    def step(self, action):
        if os.environ.get("BELT"):
            raise ValueError("the belt came off")
        return super().step(action)


for environment in Asserts, FourValues, ArrayReward, TwoRewards, CannotBeMade, BreaksLater:
    gymnasium.register(f"Border{environment.__name__}-v0", environment, max_episode_steps=20)


@pytest.mark.parametrize("name, message", [
    ("Asserts", r"AssertionError: raise AssertionError .* \(the action lay outside of the action space; "
     r"action_scale and action_offset map actions into it\), in step 0, task 0 \(tilt=\S+\) \(env BorderAsserts"),
    ("FourValues", r"expected 5, got 4\) \(step gives four values, as before 2022; .*\), in step 0, task 0"),
    ("TwoRewards", r"reward: expected a number; given shape \(2,\), in step 0, task 0"),
    ("Breaks", r"RuntimeError: the belt came off, in step 0, task 0 \(tilt=\S+\) \(env BorderBreaks-v0\)"),
    ("CannotBeMade", r"cannot make 'BorderCannotBeMade-v0': OverflowError: too many belts"),
])
def test_an_error_of_an_environment_is_one_line_and_leaves_nothing(tmp_path, name, message):
    status, out, err = try_to_train(name, tmp_path / "run")
    assert status == 1 and re.search(message, err) and "Traceback" not in err and not out, err
    assert sum("minorml: failed" in line for line in err.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_a_reward_of_one_number_is_a_reward(tmp_path):
    assert try_to_train("ArrayReward", tmp_path / "a")[0] == try_to_train("Plain", tmp_path / "b")[0] == 0
    a, b = (minorml.load(tmp_path / name) for name in "ab")
    assert a.meta.theta.tobytes() == b.meta.theta.tobytes()


@pytest.fixture
def broken_later(tmp_path, monkeypatch):
    assert try_to_train("BreaksLater", tmp_path / "run")[0] == 0
    assert try_to_train("Plain", tmp_path / "other")[0] == 0
    monkeypatch.setenv("BELT", "1")
    return tmp_path


@pytest.mark.parametrize("verb", [["evaluate", "RUN"], ["collect", "RUN", "--task=tilt=0.5", "--out=RUN/log.npz"]])
def test_every_verb_names_environment_task_and_step(broken_later, verb):
    status, out, err = run_main(*(word.replace("RUN", str(broken_later / "run")) for word in verb))
    assert status == 1 and not out and "Traceback" not in err
    assert re.search(r"ValueError: the belt came off, in step 0, task tilt=\S+ \(env BorderBreaksLater-v0\)", err), err


def test_a_report_tells_of_the_other_runs(broken_later):
    pytest.importorskip("matplotlib", reason="optional extra `plot`")
    status, _, err = run_main("report", broken_later / "run", broken_later / "other", "--out", broken_later / "page",
                              "--tasks=2", "--repetitions=1")
    page = (broken_later / "page/README.md").read_text()
    assert status == 0 and "not evaluated: ValueError: the belt came off, in step 0, task tilt=" in page, err
    assert "BorderPlain-v0/norml" in page


def test_a_table_that_cannot_be_kept_is_shown(tmp_path, monkeypatch):
    assert try_to_train("Plain", tmp_path / "run")[0] == 0
    monkeypatch.setattr("minorml.commands.adapting.write_atomically", lambda *_: (_ for _ in ()).throw(
        PermissionError(13, "Permission denied", "evaluation.csv")))
    status, out, err = run_main("evaluate", tmp_path / "run", "--tasks=2", "--repetitions=1")
    assert status == 1 and "mean of the tasks" in out and "Permission denied" in err


# --- Folders and files that are something else ------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path_factory):
    """What is installed as `minorml`: a script in another folder, in which Python therefore looks for modules."""
    script = tmp_path_factory.mktemp("bin") / "minorml"
    script.write_text("import sys\nfrom minorml.__main__ import main\nsys.exit(main())\n")
    return [sys.executable, script]


def test_a_folder_envs_of_ones_own_is_not_in_the_way(tmp_path, program):
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/__init__.py").write_text("raise RuntimeError('not these')")
    for command in [sys.executable, "-m", "minorml"], program:
        done = subprocess.run([*command, "train", "--preset=point/norml", *TINY, "--out=run", "--overwrite"],
                              cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_program_finds_modules_where_it_is_called(tmp_path, program):
    (tmp_path / "my_robots.py").write_text("import gymnasium\nfrom gymnasium.envs.classic_control import PendulumEnv\n"
                                           "gymnasium.register('Mine-v0', PendulumEnv, max_episode_steps=5)\n")
    done = subprocess.run([*program, "train", "--env=my_robots:Mine-v0", "--vary=g=uniform:5,15", *TINY, "--out=run"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_ids_of_old_runs_are_understood():
    config = minorml.preset("point/norml")
    assert minorml.Config(**{**vars(config), "env": "envs:minorml/PointRotation-v0"}) == config


def test_a_link_to_nowhere(tmp_path):
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    status, out, err = try_to_train("Plain", tmp_path / "run")
    assert status == 2 and "there is a link to" in err and "which does not exist" in err and not out


@pytest.mark.parametrize("verb", ["plot", "report"])
def test_a_picture_is_no_folder(tmp_path, verb):
    status, _, err = run_main(verb, tmp_path, "--out", tmp_path / "x.png")
    assert status == 2 and "expected a folder, in which several files are written" in err
    assert not (tmp_path / "x.png").exists()


def test_a_report_does_not_write_over_a_run(tmp_path):
    pytest.importorskip("matplotlib", reason="optional extra `plot`")
    assert try_to_train("Plain", tmp_path / "run")[0] == 0
    before = sorted(tmp_path.rglob("*"))
    status, _, err = run_main("report", tmp_path / "run", "--out", tmp_path / "run")
    assert status == 2 and "holds a run, whose evaluation.csv would be written over" in err
    assert sorted(tmp_path.rglob("*")) == before


# --- Another machine --------------------------------------------------------------------------------------------------


def moved(run, **changes):
    """A run of two iterations that was begun where `versions.json` was another."""
    assert try_to_train("Plain", run)[0] == 0
    path = run / "versions.json"
    kept = json.loads(path.read_text())
    for name, value in changes.items():
        where = kept["packages"] if name in kept["packages"] else kept
        where[name] = value
    path.write_text(json.dumps(kept))
    return ["train", "--resume", "--out", run, "--iterations=3"]


@pytest.mark.parametrize("change, told", [(dict(processor="Z80"), "processor: Z80 in the run"),
                                          (dict(blas=["abacus 1.0"]), "blas: ['abacus 1.0'] in the run")])
def test_another_processor_or_blas_is_told(tmp_path, change, told):
    status, _, err = run_main(*moved(tmp_path / "run", **change))
    assert status == 0 and f"goes on elsewhere, and its last bits may differ: {told}" in err, err
    assert len(json.loads((tmp_path / "run/versions.json").read_text())["went_on_with"]) == 1
    status, _, err = run_main("train", "--resume", "--out", tmp_path / "run", "--iterations=4")
    assert status == 0 and "goes on elsewhere" not in err  # it is compared with what it went on with


def test_other_versions_are_refused_unless_one_knows(tmp_path):
    command = moved(tmp_path / "run", numpy="1.0")
    status, _, err = run_main(*command)
    assert status == 2 and "numpy: 1.0 in the run" in err and "--other-versions resumes all the same" in err
    status, _, err = run_main(*command, "--other-versions")
    assert status == 0 and "goes on elsewhere, and its last bits may differ: numpy: 1.0 in the run" in err
    kept = json.loads((tmp_path / "run/versions.json").read_text())
    assert kept["packages"]["numpy"] == "1.0" and kept["went_on_with"][0]["packages"]["numpy"] == np.__version__


def test_compiling_is_told(tmp_path):
    """In a process that finds no compiled code; and not in the one after it."""
    code = ("from minorml.kernels.recurrences import discounted_sums\nimport numpy as np\n"
            "discounted_sums(np.ones((1, 2)), 0.5)")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    said = [subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True,
                           check=True).stderr for _ in range(2)]
    assert said == [COMPILING, ""]


def test_the_time_left_is_not_fooled_by_the_first_iteration(monkeypatch, capsys):
    now = iter([0.0, *[1000.0 + 20 * k for k in range(9)]])
    monkeypatch.setattr("minorml.runs.progress.time.monotonic", lambda: next(now))
    with Progress(9, label="x") as shown:
        for _ in range(9):
            shown.update()
    lines = capsys.readouterr().err.splitlines()
    assert "? s left" in lines[0] and "0.05 it/s, 140 s left" in lines[1] and "0 s left" in lines[-1]


# --- What a task sets -------------------------------------------------------------------------------------------------


class Parts(Plain):
    """Numbers in parts of it: an array of its own, an integer, a flag, and an array of integers."""

    def __init__(self, strength=1.0, name="north"):
        self.body = SimpleNamespace(pull=np.zeros(2), gears=np.array([1, 2]))
        self.count, self.on, self.strength, self.name = 1, True, strength, name

    def pull(self):
        assert type(self.count) is int and type(self.on) is bool
        return self.strength * self.on * self.count * (self.tilt + self.body.pull[1])


gymnasium.register("BorderParts-v0", Parts, max_episode_steps=20)


@pytest.mark.parametrize("vary", ["body.pull[1]=uniform:-1,1", "tilt=uniform:-1,1;body.pull[1]=choice:0,1",
                                  "count=choice:1,3;tilt=choice:1,2", "on=choice:0,1;tilt=choice:1,2"])
def test_a_path_leads_to_a_number_and_an_integer_stays_one(tmp_path, vary):
    varied = [f"--vary={part}" for part in vary.split(";")]
    status, _, err = run_main("train", "--env=BorderParts-v0", *varied, *TINY, "--out", tmp_path / "run")
    assert status == 0, err
    assert run_main("evaluate", tmp_path / "run", "--tasks=2", "--repetitions=1")[0] == 0


def test_noise_that_is_lost_in_rounding_is_told(tmp_path):
    for log_std, told in ("-20", True), ("-15", False):
        _, _, err = try_to_train("Plain", tmp_path / log_std, f"--set=log_std={log_std}")
        assert ("log_std is -20: noise below e^-15.9 is lost" in err) == told, err


def test_an_integer_that_is_set_to_real_numbers_is_told():
    class Loose(Parts):
        def pull(self):
            return self.count

    config = minorml.Config(env="x", vary=("count=uniform:1,3",), method="dr", horizon=3, num_tasks=2, iterations=1,
                            num_trajectories=2, hidden=(4,))
    with contextlib.redirect_stderr(io.StringIO()) as said:
        minorml.train(config, make_envs=lambda n: SyncVectorEnv([Loose] * n))
    assert "count is an integer in the environment, 1, and is set to real numbers" in said.getvalue()


@pytest.mark.parametrize("vary, message", [
    ("body.push[1]=uniform:0,1", "the environment has no number body.push[1]"),
    ("body.pull[2]=uniform:0,1", "the environment has no number body.pull[2]"),
    ("body.pull=uniform:0,1", "expected a number; body.pull is array"),
    ("body.gears[0]=uniform:0.1,0.7", "does not take body.gears[0] = 0.11875: it was set to 0.11875 and is 0"),
    ("step.x=uniform:0,1", "'step' belongs to every environment"),
    ("name=uniform:0,1", "expected a number; name is 'north'"),
    ("body.pull[1=uniform:0,1", "expected NAME=uniform:LOW,HIGH"),
])
def test_a_path_that_leads_nowhere(tmp_path, vary, message):
    status, _, err = run_main("train", "--env=BorderParts-v0", "--vary", vary, *TINY, "--out", tmp_path / "run")
    assert status == 2 and message in err and not (tmp_path / "run").exists(), err


def test_what_the_environment_is_made_with(tmp_path):
    options = ["--env=BorderParts-v0", "--env-arg=strength=0", "--env-arg=name=south", "--vary=tilt=uniform:-1,1"]
    status, _, err = run_main("train", *options, *TINY, "--out", tmp_path / "a")
    assert status == 2 and "tilt = -1 and 1 gave the same trajectories" in err  # without strength it does nothing
    options[1] = "--env-arg=strength=2.5"
    assert run_main("train", *options, *TINY, "--out", tmp_path / "a")[0] == 0
    config = minorml.load(tmp_path / "a").config
    assert config.env_options == {"strength": 2.5, "name": "south"}
    assert run_main("train", "--resume", "--out", tmp_path / "a", "--iterations=3")[0] == 0
    status, _, err = run_main("train", *options, "--env-arg=speed=1", *TINY, "--out", tmp_path / "b")
    assert status == 2 and "cannot make 'BorderParts-v0'" in err and "speed" in err
    with pytest.raises(ValueError, match="env_args: expected NAME=VALUE"):
        minorml.Config(**{**vars(config), "env_args": ("strength",)})


def test_a_sweep_of_ones_own_environment(tmp_path):
    status, out, err = run_main("sweep", "--env=Pendulum-v1", "--vary=g=uniform:5,15", "--set=horizon=5", *TINY,
                                "--seeds=0-1", "--out", tmp_path)
    assert status == 0 and sorted(path.name for path in tmp_path.iterdir()) == [
        "Pendulum-v1-norml-0", "Pendulum-v1-norml-1"], err
    status, _, err = run_main("sweep", "--presets=point/norml", "--vary=g=uniform:5,15", "--out", tmp_path / "b")
    assert status == 2 and "go with --env" in err


@pytest.mark.parametrize("options", [["--set=seed=1", "--set=seed=2"], ["--set=seed=1", "--seed=2"],
                                     ["--set=method=dr", "--method=maml"]])
def test_two_options_that_contradict_each_other(tmp_path, options):
    status, _, err = run_main("train", "--preset=point/norml", *options, "--out", tmp_path / "run")
    assert status == 2 and "is given twice, as" in err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name, vary, status, told", [
    ("Plain", "tilt=uniform:-1,1", 0, "it can be trained on"),
    ("Plain", "tilt=uniform:-1,1", 0, "the same seed gives the same start"),
    ("Plain", "tilt=uniform:-1,1", 0, "observations are of the size of 1"),
    ("Positive", "tilt=uniform:-1,1", 0, "100% of the first policy's actions lie outside of the action space; --set"),
    ("Derived", "tilt=uniform:-1,1", 2, "! vary: tilt = -1 and 1 gave the same trajectories"),
    ("Redraws", "tilt=uniform:-1,1", 2, "! vary: tilt was set to -1 and 1, and is"),
    ("IntAction", "tilt=uniform:-1,1", 2, "! env BorderIntAction-v0: action space: expected a Box"),
    ("FourValues", "tilt=uniform:-1,1", 2, "! ValueError: not enough values to unpack"),
    ("Seedless", "tilt=uniform:-1,1", 0, "the same seed gives another start"),
])
def test_check(tmp_path, monkeypatch, name, vary, status, told):
    monkeypatch.chdir(tmp_path)
    ended, out, err = run_main("check", "--env", f"Border{name}-v0", "--vary", vary, "--method=norml")
    assert ended == status and told in out and not list(tmp_path.iterdir()), (out, err)


class Seedless(Plain):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None)


gymnasium.register("BorderSeedless-v0", Seedless, max_episode_steps=20)
