"""Logs: what fits together, what is left out and told, and the files that they come in."""

import csv
import functools
import re
import sys

import gymnasium
import numpy as np
import pytest

import minorml

LENGTHS = 3, 1, 5


def episodes(S=2, U=1, lengths=LENGTHS, seed=0):
    rng = np.random.default_rng(seed)
    return ([rng.normal(size=(n + 1, S)) for n in lengths], [rng.normal(size=(n, U)) for n in lengths],
            [rng.normal(size=n) for n in lengths])


def assert_same(recording, states, actions, rewards=None):
    assert len(recording.episodes) == len(states)
    for episode, s, a, r in zip(recording.episodes, states, actions, rewards or [None] * len(states)):
        np.testing.assert_array_equal(episode.states, s)
        np.testing.assert_array_equal(episode.actions, a)
        assert (episode.rewards is None) == (r is None)
        if r is not None:
            np.testing.assert_array_equal(episode.rewards, r)


def write_csv(path, states, actions, rewards=None, step=True, last=True, rename=()):
    names = [f"{kind}_{i}" for kind, rows in (("observation", states), ("action", actions))
             for i in range(rows[0].shape[1])]
    names = [dict(rename).get(name, name) for name in names]
    with open(path, "w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["episode", *["step"] * step, *names, *["reward"] * (rewards is not None)])
        for k, (s, a) in enumerate(zip(states, actions)):
            for t in range(len(a) + last):
                row = [k, *[t] * step, *s[t], *(a[t] if t < len(a) else [""] * a.shape[1])]
                log.writerow([*row, *([] if rewards is None else [rewards[k][t] if t < len(a) else ""])])
    return path


def test_episodes_of_any_lengths():
    states, actions, rewards = episodes()
    recording = minorml.Recording(states, actions)
    assert_same(recording, states, actions)
    assert recording.dims == (2, 1) and recording.num_rows == 9 and not recording.has_rewards and not recording.notes
    np.testing.assert_array_equal(minorml.Recording(states, actions, rewards).returns, [r.sum() for r in rewards])
    with pytest.raises(ValueError, match="it has no rewards"):
        recording.returns  # noqa: B018


def test_rows_are_joined_where_one_begins_as_the_last_ended():
    states, actions, rewards = episodes()
    rows = [np.concatenate(part) for part in ([s[:-1] for s in states], actions, [s[1:] for s in states], rewards)]
    assert_same(minorml.Recording.from_rows(*rows), states, actions, rewards)


@pytest.mark.parametrize("change, told", [
    (lambda s, a: (s[:2], a), "given 2, 3 and 3 episodes"),
    (lambda s, a: ([s[0][:-1], *s[1:]], a), "episode 0: expected one state more than actions"),
    (lambda s, a: (s, [a[0], np.zeros((1, 2)), a[2]]), "actions of episode 1: expected shape (T, 1); given (1, 2)"),
    (lambda s, a: ([s[0], np.zeros((2, 3)), s[2]], a), "states of episode 1: expected shape (T + 1, 2); given (2, 3)"),
    (lambda s, a: ([s[0][:, 0], *s[1:]], a), "states of episode 0: expected shape (T + 1, S); given (4,)"),
    (lambda s, a: ([["x"]], [[0.0]]), "episode 0: expected arrays of real numbers"),
    (lambda s, a: ([], []), "there is no transition"),
    (lambda s, a: ([x * np.nan for x in s], a), "or none of finite numbers alone"),
])
def test_what_does_not_fit_together_is_refused(change, told):
    states, actions, _ = episodes()
    states, actions = change(states, actions)
    with pytest.raises(ValueError, match=re.escape(told)):
        minorml.Recording(states, actions, None if len(states) != 2 else [0, 0, 0])


def test_numbers_that_are_not_finite_are_left_out_and_told():
    states, actions, _ = episodes()
    states[2][2, 0], actions[0][0, 0] = np.nan, np.inf
    recording = minorml.Recording(states, actions)
    assert_same(recording, [states[0][1:], states[1], states[2][:2], states[2][3:]],
                [actions[0][1:], actions[1], actions[2][:1], actions[2][3:]])
    assert recording.notes == ["3 of 9 transitions have numbers that are not finite; they are left out"]
    assert recording.recorded_lengths == [3, 1, 5]


@pytest.mark.parametrize("with_rewards", [True, False])
def test_npz_of_each_shape(with_rewards, tmp_path):
    states, actions, rewards = episodes()
    known = rewards if with_rewards else None
    minorml.Recording(states, actions, known).save(tmp_path / "a.npz")
    assert_same(minorml.load_recording(tmp_path / "a.npz"), states, actions, known)

    def also(flat):
        return {"rewards": flat} if with_rewards else {}

    rows = [np.concatenate(part) for part in ([s[:-1] for s in states], actions, [s[1:] for s in states], rewards)]
    np.savez(tmp_path / "b.npz", states=rows[0], actions=rows[1], next_states=rows[2], **also(rows[3]))
    assert_same(minorml.load_recording(tmp_path / "b.npz"), states, actions, known)
    states, actions, rewards = episodes(lengths=[4] * 3)
    np.savez(tmp_path / "c.npz", states=states, actions=actions, **also(rewards))
    assert_same(minorml.load_recording(tmp_path / "c.npz"), states, actions, rewards if with_rewards else None)


@pytest.mark.parametrize("arrays, told", [
    (dict(observations=np.zeros(3)), "expected arrays states and actions; given observations"),
    (dict(states=np.zeros((9, 2)), actions=np.zeros((8, 1))), "or the array lengths (K,), or next_states"),
    (dict(states=np.zeros((9, 2)), actions=np.zeros((8, 1)), lengths=np.array([4])),
     "lengths: they say 5 states and 4 actions; given 9 and 8"),
    (dict(states=np.zeros((9, 2)), actions=np.zeros((8, 1)), lengths=np.array([8.0])), "integers >= 1; given [8.]"),
    (dict(states=np.zeros((9, 2)), actions=np.zeros((9, 1)), next_states=np.zeros((8, 2))),
     "next_states: expected shape (9, 2); given (8, 2)"),
])
def test_an_npz_of_something_else(arrays, told, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        minorml.load_recording(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(error.value)


def test_pickles_are_not_opened(tmp_path):
    np.savez(tmp_path / "a.npz", states=np.array([{}], object), actions=np.zeros((1, 1)))
    with pytest.raises(ValueError, match="allow_pickle"):
        minorml.load_recording(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(ValueError, match=r"b\.npz"):
        minorml.load_recording(tmp_path / "b.npz")


@pytest.mark.parametrize("step", [True, False])
@pytest.mark.parametrize("with_rewards", [True, False])
def test_csv(step, with_rewards, tmp_path):
    states, actions, rewards = episodes()
    known = rewards if with_rewards else None
    recording = minorml.load_recording(write_csv(tmp_path / "log.csv", states, actions, known, step))
    assert_same(recording, states, actions, known)
    assert not recording.notes


def test_csv_with_other_names(tmp_path):
    states, actions, _ = episodes()
    names = {"observation_0": "x", "observation_1": "v", "action_0": "F"}
    write_csv(tmp_path / "log.csv", states, actions, rename=names)
    recording = minorml.load_recording(tmp_path / "log.csv", observations=["v", "x"], actions=["F"])
    assert_same(recording, [s[:, ::-1] for s in states], actions)
    with pytest.raises(ValueError, match="no column observation_0, action_0; expected episode, observation_0, action"):
        minorml.load_recording(tmp_path / "log.csv")


def test_csv_of_transitions(tmp_path):
    states, actions, _ = episodes()
    with open(tmp_path / "log.csv", "w", newline="") as file:
        log = csv.writer(file)
        names = [f"{kind}observation_{i}" for kind in ("", "next_") for i in range(2)]
        log.writerow(["episode", *names[:2], "action_0", *names[2:]])
        for k, (s, a) in enumerate(zip(states, actions)):
            log.writerows([k, *s[t], *a[t], *s[t + 1]] for t in range(len(a)))
    assert_same(minorml.load_recording(tmp_path / "log.csv"), states, actions)


def test_csv_whose_episodes_lack_their_last_observation(tmp_path):
    states, actions, _ = episodes()
    recording = minorml.load_recording(write_csv(tmp_path / "log.csv", states, actions, last=False))
    assert_same(recording, [states[0][:-1], states[2][:-1]], [actions[0][:-1], actions[2][:-1]])
    assert recording.notes == ["3 of 3 episodes have no row after their last action: the observation that it led to is "
                               "missing, and the action is left out"]


def test_csv_with_a_gap_and_out_of_order(tmp_path):
    states, actions, _ = episodes(lengths=[6, 3])
    write_csv(tmp_path / "log.csv", states, actions)
    header, *lines = (tmp_path / "log.csv").read_text().splitlines()
    gap = [line for line in lines if not line.startswith("0,3,")]
    (tmp_path / "gap.csv").write_text("\n".join([header, *gap]))
    recording = minorml.load_recording(tmp_path / "gap.csv")
    assert_same(recording, [states[0][:3], states[0][4:], states[1]], [actions[0][:2], actions[0][4:], actions[1]])
    assert recording.notes == ["episode 0: 1 gap in its steps, the first after step 2; it is cut there"]
    (tmp_path / "order.csv").write_text("\n".join([header, *lines[::-1]]))
    recording = minorml.load_recording(tmp_path / "order.csv")
    assert_same(recording, states[::-1], actions[::-1])
    assert len(recording.notes) == 2 and "sorted by step" in recording.notes[0]
    (tmp_path / "twice.csv").write_text("\n".join([header, *lines, lines[2]]))
    with pytest.raises(ValueError, match="episode 0: step 2 comes twice"):
        minorml.load_recording(tmp_path / "twice.csv")


@pytest.mark.parametrize("text, told", [
    ("", "no column episode"),
    ("episode,observation_0,action_0\n", "there is no row"),
    ("episode,observation_0,action_0\n0,one,1\n", "line 2, observation_0: expected a number; given 'one'"),
    ("episode,step,observation_0,action_0\n0,,1,1\n", "episode 0: step: expected a number in each row"),
])
def test_a_csv_of_something_else(text, told, tmp_path):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(told)):
        minorml.load_recording(tmp_path / "log.csv")


def test_another_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"a file that ends in \.npz or \.csv, or minari:ID; given .*log\.txt"):
        minorml.load_recording(tmp_path / "log.txt")


def test_minari(monkeypatch):
    """By a stand-in with what Minari 0.5 gives: observations with one row more than actions."""
    states, actions, rewards = episodes()

    class Episode:
        def __init__(self, k):
            self.observations, self.actions, self.rewards = states[k], actions[k], rewards[k]
            self.terminations = np.arange(len(actions[k])) == len(actions[k]) - 1
            self.truncations = np.zeros(len(actions[k]), bool)
            if k == 2:
                self.terminations[:] = False

    class Dataset:
        def iterate_episodes(self):
            return map(Episode, range(3))

    monkeypatch.setitem(sys.modules, "minari", type(sys)("minari"))
    monkeypatch.setattr(sys.modules["minari"], "load_dataset", lambda name: Dataset(), raising=False)
    recording = minorml.load_recording("minari:robot/log-v0")
    assert_same(recording, states, actions, rewards)
    assert recording.notes == ["1 of 3 episodes have no end: their last step is neither a termination nor a truncation"]
    monkeypatch.setattr(Episode, "observations", property(lambda self: {"camera": 0}, lambda self, value: None),
                        raising=False)
    with pytest.raises(ValueError, match="minari:robot/log-v0: observations: expected arrays; given dict"):
        minorml.load_recording("minari:robot/log-v0")


def test_without_minari_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'minorml[minari]'")):
        minorml.load_recording("minari:robot/log-v0")


def test_a_dataset_that_minari_wrote(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari", reason="optional extra `minari`")
    from minari.data_collector import EpisodeBuffer
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    states, actions, rewards = (list(part) for part in episodes(lengths=[3, 5]))
    buffers = [EpisodeBuffer(id=k, observations=s, actions=a, rewards=r, terminations=[False] * len(a),
                             truncations=[False] * (len(a) - 1) + [k == 1])
               for k, (s, a, r) in enumerate(zip(states, actions, rewards))]
    box = functools.partial(gymnasium.spaces.Box, -np.inf, np.inf, dtype=np.float64)
    minari.create_dataset_from_buffers("robot/log-v0", buffers, observation_space=box((2,)), action_space=box((1,)),
                                       description="", code_permalink="", author="", author_email="")
    recording = minorml.load_recording("minari:robot/log-v0")
    assert_same(recording, states, actions, rewards)
    assert recording.notes == ["1 of 2 episodes have no end: their last step is neither a termination nor a truncation"]
    with pytest.raises(ValueError, match="minari:robot/none-v0: no such dataset"):
        minorml.load_recording("minari:robot/none-v0")
