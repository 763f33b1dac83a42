"""From a robot's log to an adapted policy: the bytes that simulation gives, and a report of what does not fit."""

import dataclasses
import functools
import math
import re

import numpy as np
import pytest
from test_train import small

import minorml
from minorml.__main__ import main
from minorml.experiments.trained import initial_state, with_reference
from minorml.rl.problem import make_problem
from minorml.rl.streams import EVALUATE, stream
from minorml.rl.tasks import sample_tasks

SYSTEMS = ["point/norml", "cartpole-small/norml", "cheetah-small/norml"]


def untrained(name, **fields):
    config = small(name, **fields)
    problem = make_problem(config)
    meta = initial_state(problem).meta
    rng = np.random.default_rng(0)
    meta = meta._replace(offset=(0.01 * rng.normal(size=len(meta.offset))).astype(config.dtype))
    return minorml.Trained(config, meta, [], (problem.policy.obs_dim, problem.policy.act_dim))


@pytest.mark.parametrize("name", [*SYSTEMS, "point/maml", "point/norml-no-laf", "cartpole-small/norml-no-offset"])
@pytest.mark.parametrize("scales", [{}, dict(action_scale=0.7, action_offset=0.1, obs_scale=3.0)])
def test_collect_and_adapt_give_the_bytes_of_finetune(name, scales, tmp_path):
    """In memory, through a file, and whatever the scales are; two steps with a generator that goes on."""
    S, U = untrained(name).spaces
    trained = untrained(name, **{key: (value,) * (S if key == "obs_scale" else U) for key, value in scales.items()})
    task, = sample_tasks(trained.config.distribution, np.random.default_rng(3), 1)
    theta, = minorml.finetune(trained, [task])
    log = minorml.collect(trained, task)
    log.save(tmp_path / "log.npz")
    for recording in log, minorml.load_recording(tmp_path / "log.npz"):
        assert trained.adapt(recording).theta.tobytes() == theta.tobytes()

    rng = stream(0, EVALUATE, 0, 0)
    first = minorml.collect(trained, task, seed=rng)
    second = minorml.collect(trained, task, trained.adapt(first), rng)
    twice, = minorml.finetune(trained, [task], steps=2)
    assert trained.adapt([first, second]).theta.tobytes() == twice.tobytes()


@pytest.mark.parametrize("name", [*SYSTEMS, "point/maml"])
def test_collect_adapt_and_evaluate_give_what_evaluate_gives(name):
    trained = untrained(name)
    task, = sample_tasks(trained.config.distribution, np.random.default_rng(3), 1)
    scores = {score.stage: score.returns[0] for score in minorml.evaluate(trained, [task], 1, 1)}
    rng = stream(0, EVALUATE, 0, 0)
    log = minorml.collect(trained, task, seed=rng)
    performed = minorml.collect(trained, task, trained.adapt(log), rng)
    assert log.returns.mean() == scores["before"] and performed.returns.mean() == scores["after 1"]


def test_a_method_with_a_learned_advantage_sees_no_rewards():
    trained = untrained("point/norml")
    log = minorml.collect(trained, {"rotation": 1.0})
    blind = minorml.Recording([e.states for e in log.episodes], [e.actions for e in log.episodes])
    assert trained.adapt(blind).theta.tobytes() == trained.adapt(log).theta.tobytes()
    with pytest.raises(ValueError, match="recording: maml adapts from rewards, and this log has none"):
        untrained("point/maml").adapt(blind)
    with pytest.raises(ValueError, match="adapt: dr does not adapt"):
        untrained("point/dr").adapt(log)


@pytest.mark.parametrize("given", [[], "log.npz", [1.0]])
def test_what_is_no_recording_is_refused(given):
    with pytest.raises(ValueError, match="adapt: expected a Recording, or a list of them; given .*load_recording"):
        untrained("point/norml").adapt(given)


def test_a_log_of_another_robot_is_refused():
    log = minorml.collect(untrained("cartpole-small/norml"), {"angle_bias": 0.1})
    with pytest.raises(ValueError, match=re.escape("states of episode 0: expected shape (T + 1, 2); given")):
        untrained("point/norml").adapt(log)
    policy = untrained("cartpole-small/norml").policy()
    with pytest.raises(ValueError, match="policy: expected one of .* parameters in float32; given"):
        minorml.collect(untrained("point/norml"), {"rotation": 1.0}, policy)


def test_an_adapted_policy_acts_as_in_the_simulator():
    trained = untrained("cheetah-small/norml")
    log = minorml.collect(trained, {"swapped": 1.0})
    explorer, rng = trained.policy(), stream(0, EVALUATE, 0, 0)
    K, T = trained.config.num_trajectories, trained.config.horizon
    noise = rng.standard_normal((T, K, 6))

    class Noise:
        def standard_normal(self, shape):
            return noise[:len(log.episodes[0].actions), 0].reshape(shape)

    np.testing.assert_allclose(explorer.act(log.episodes[0].states[:-1], Noise()), log.episodes[0].actions, atol=1e-6)


# --- The report -------------------------------------------------------------------------------------------------------


@functools.cache
def explored(name):
    """A Trained with a reference and an honest log; the parameters are those of the first iterations."""
    trained = minorml.train(name, iterations=12 if "cheetah" not in name else 2, seed=0, progress=False)
    task, = sample_tasks(trained.config.distribution, np.random.default_rng(3), 1)
    return trained, task, minorml.collect(trained, task, seed=5)


def changed(log, states=lambda s: s, actions=lambda a: a):
    return minorml.Recording([states(e.states) for e in log.episodes], [actions(e.actions) for e in log.episodes])


def exchanged(rows, i, j):
    rows = rows.copy()
    rows[:, [i, j]] = rows[:, [j, i]]
    return rows


def columns(rows, where, factor):
    rows = rows.copy()
    rows[:, where] *= factor
    return rows


@pytest.mark.parametrize("name, count", [("point/norml", 200), ("cartpole-small/norml", 200),
                                         ("cheetah-small/norml", 20)])
def test_honest_logs_draw_no_warning(name, count):
    """Of 200 at most 2; on the cheetah, where a log takes a third of a second, of 20 none."""
    trained, _, _ = explored(name)
    tasks = sample_tasks(trained.config.distribution, np.random.default_rng(8), count)
    reports = [trained.adapt(minorml.collect(trained, task, seed=1000 + i)).report for i, task in enumerate(tasks)]
    warned = [report.warnings for report in reports if not report.fits]
    assert len(warned) <= count // 100, warned


def degrees(name, rows):
    angles = {"point/norml": slice(None), "cartpole-small/norml": slice(2, 4), "cheetah-small/norml": slice(1, 7)}[name]
    return columns(rows, angles, 180 / math.pi)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("what, told", [
    (lambda name, log: changed(log, lambda s: degrees(name, s)), r"in radians \(these are degrees\)"),
    (lambda name, log: changed(log, lambda s: exchanged(s, 0, 1)), "with observation_0 and observation_1 exchanged"),
    (lambda name, log: changed(log, actions=lambda a: np.clip(a, -0.4, 0.4)), "logged after they had been clipped"),
    (lambda name, log: minorml.Recording([e.states for e in log.episodes[:3]], [e.actions for e in log.episodes[:3]]),
     "the log has 3 trajectories"),
    (lambda name, log: changed(log, lambda s: s[1:], lambda a: a[:-1]), "fit with each action moved up by a row"),
    (lambda name, log: changed(log, lambda s: s[:-1], lambda a: a[1:]), "fit with each action moved down by a row"),
    (lambda name, log: changed(log, lambda s: columns(s, 1, 0.0)), "observation_1 is 0 in every row: is the sensor"),
    (lambda name, log: changed(log, lambda s: columns(s, 0, 1000.0)), "fit with observation_0 divided by 1,000"),
    (lambda name, log: changed(log, lambda s: np.where(np.arange(len(s))[:, None] == 2, np.nan, s)),
     "have numbers that are not finite; they are left out"),
    (lambda name, log: changed(log, actions=lambda a: 0.5 * a), "these actions were not drawn by this policy"),
    (lambda name, log: changed(log, actions=lambda a: a + 0.2), "these actions were not drawn by this policy"),
], ids=["degrees", "columns", "clipped", "few", "late", "early", "stuck", "millimetres", "nan", "quiet", "shifted"])
def test_a_log_that_does_not_fit_is_named(name, what, told):
    trained, _, log = explored(name)
    report = trained.adapt(what(name, log)).report
    assert not report.fits and any(re.search(told, warning) for warning in report.warnings), report
    with pytest.raises(ValueError, match="the log does not fit:"):
        trained.adapt(what(name, log), strict=True)


def test_the_policys_own_mean_actions_are_no_exploration():
    trained, _, log = explored("point/norml")
    act = trained.policy().act
    quiet = minorml.Recording([e.states for e in log.episodes], [act(e.states[:-1]) for e in log.episodes])
    assert any("has no exploration in it" in warning for warning in trained.adapt(quiet).report.warnings)


def test_a_log_that_another_policy_recorded():
    trained, task, log = explored("point/norml")
    theta = trained.meta.theta.copy()
    theta[-1] -= 0.5
    other = minorml.collect(trained, task, dataclasses.replace(trained.policy(), theta=theta), seed=5)
    assert any("not drawn by this policy" in warning for warning in trained.adapt(other).report.warnings)


def test_episodes_without_their_ends():
    trained, _, log = explored("point/norml")
    first = log.episodes[0]
    cut = minorml.Recording([first.states[:5], *(e.states for e in log.episodes[1:])],
                            [first.actions[:4], *(e.actions for e in log.episodes[1:])])
    assert trained.adapt(cut).report.warnings == ["1 of 25 episodes end early: episode 0 after 4 steps, where none of "
                                                  "training's had less than 10; is its end missing?"]
    double = minorml.Recording([np.concatenate([e.states, e.states[1:]]) for e in log.episodes],
                               [np.concatenate([e.actions, e.actions]) for e in log.episodes])
    assert any("longer than the 10 steps of training" in warning for warning in trained.adapt(double).report.warnings)


def test_the_report_names_the_most_similar_task():
    trained, task, log = explored("point/norml")
    line, = [finding.text for finding in trained.adapt(log).report.findings if finding.name == "motion"]
    found = float(re.search(r"rotation=(\S+):", line).group(1))
    assert abs(found - task["rotation"]) < 2 * math.pi / 40
    assert "most like" in str(trained.adapt(log).report)


def test_scales_that_were_applied_before_are_named():
    trained, _, log = explored("cheetah-small/norml")
    scaled = changed(log, lambda s: s / trained.config.obs_scale)
    assert any("multiplied by obs_scale" in warning for warning in trained.adapt(scaled).report.warnings)


def test_without_a_reference_the_report_says_so():
    trained = untrained("point/norml")
    report = trained.adapt(minorml.collect(trained, {"rotation": 1.0})).report
    assert "the log was compared with no other" in str(report) and report.fits
    assert not untrained("point/dr").reference and with_reference(untrained("point/dr")).reference is None


# --- On disk, and on the command line ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("robot") / "run"
    minorml.train("point/norml", path, iterations=3, num_tasks=4, progress=False)
    return path


def test_a_run_keeps_its_reference(run):
    loaded = minorml.load(run)
    assert loaded.spaces == (2, 2) and loaded.reference.iteration == 3 and len(loaded.reference.tasks) == 40
    again = with_reference(loaded._replace(reference=None)).reference
    for kept, measured in zip(loaded.reference.measures, again.measures):
        np.testing.assert_array_equal(kept, measured)


def test_a_reference_of_other_parameters_is_not_used(run, tmp_path):
    minorml.train("point/norml", tmp_path / "a", iterations=1, num_tasks=2, num_trajectories=2, progress=False)
    (tmp_path / "a/reference.npz").write_bytes((run / "reference.npz").read_bytes())
    assert minorml.load(tmp_path / "a").reference is None


def test_a_robots_owner_needs_no_environment(run, tmp_path, monkeypatch):
    log = minorml.collect(minorml.load(run), {"rotation": 1.0})
    monkeypatch.setattr("gymnasium.make_vec", None)
    monkeypatch.setattr("gymnasium.make", None)
    trained = minorml.load(run)
    trained.adapt(log).save(tmp_path / "adapted.npz")


def test_a_run_without_spaces_asks_its_environment(run, tmp_path):
    trained = minorml.train("point/norml", tmp_path / "a", iterations=1, num_tasks=2, progress=False)
    (tmp_path / "a/spaces.json").unlink()
    loaded = minorml.load(tmp_path / "a")
    assert loaded.spaces == (2, 2)
    log = minorml.collect(loaded, {"rotation": 1.0})
    assert loaded._replace(spaces=None).adapt(log).theta.tobytes() == trained.adapt(log).theta.tobytes()
    (tmp_path / "a/spaces.json").write_text("{}")
    with pytest.raises(minorml.RunError, match=r"spaces\.json"):
        minorml.load(tmp_path / "a")


def test_collect_adapt_export(run, tmp_path, capsys):
    log, adapted = tmp_path / "log.npz", tmp_path / "adapted.npz"
    assert main(["collect", str(run), "--task", "rotation=1.5", "--out", str(log)]) == 0
    assert main(["adapt", str(run), str(log), "--out", str(adapted)]) == 0
    assert "most like rotation=+1.492" in capsys.readouterr().out
    theta, = minorml.finetune(minorml.load(run), [{"rotation": 1.5}])
    assert minorml.load_policy(adapted).theta.tobytes() == theta.tobytes()
    assert main(["collect", str(run), "--task", "rotation=1.5", "--policy", str(adapted), "--episodes", "3", "--out",
                 str(tmp_path / "second.npz")]) == 0
    assert "3 episodes, 30 transitions" in capsys.readouterr().out
    assert main(["export", str(run), "--out", str(tmp_path / "explorer.c")]) == 0
    assert main(["export", str(adapted), "--out", str(tmp_path / "adapted.h")]) == 0
    assert main(["adapt", str(run), str(log), str(log), "--out", str(adapted)]) == 0  # two steps


@pytest.mark.parametrize("arguments, told", [
    (["adapt", "RUN", "DIR/none.npz", "--out", "DIR/a.npz"], "No such file"),
    (["adapt", "RUN", "DIR/log.txt", "--out", "DIR/a.npz"], "expected a file that ends in .npz or .csv"),
    (["adapt", "RUN", "DIR/other.csv", "--out", "DIR/a.npz"], "no column action_0; expected episode, observation_0"),
    (["adapt", "RUN", "DIR/robot.csv", "--out", "DIR/a.npz"], "states of episode 0: expected shape (T + 1, 2); given"),
    (["adapt", "RUN", "DIR/few.csv", "--strict", "--out", "DIR/a.npz"], "the log does not fit:"),
    (["collect", "RUN", "--task", "speed=1", "--out", "DIR/a.npz"], "expected a value for rotation too"),
    (["export", "DIR", "--out", "DIR/a.npz"], "no run here"),
])
def test_what_cannot_be_used_leaves_nothing(run, arguments, told, tmp_path, capsys):
    (tmp_path / "other.csv").write_text("episode,observation_0\n0,1\n")
    (tmp_path / "robot.csv").write_text("episode,observation_0,action_0,action_1\n0,1,1,1\n0,1,,\n")
    (tmp_path / "few.csv").write_text("episode,observation_0,observation_1,action_0,action_1\n0,0,0,1,1\n0,1,1,,\n")
    before = set(tmp_path.iterdir())
    status = main([part.replace("RUN", str(run)).replace("DIR", str(tmp_path)) for part in arguments])
    assert status == (1 if told == "No such file" else 2) and told in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments", [["collect", "x", "--task", "a=1", "--out", "log.csv"],
                                       ["adapt", "x", "log.npz", "--out", "policy.txt"]])
def test_another_suffix_is_refused_before_work(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and "expected a file that ends in" in capsys.readouterr().err
