"""The GIF of one task before and after adaptation."""

import sys

import gymnasium
import numpy as np
import pytest
from test_finetune import untrained

from minorml.experiments import video
from minorml.experiments.video import side_by_side
from minorml.rl.tasks import Choice, Uniform, parse_task

Image = pytest.importorskip("PIL.Image", reason="optional extra `plot`")

POINT = (324, 362)  # width and height of a panel: a picture of 320 × 320 with border and title
BRIGHTNESS = 60


class Walk(gymnasium.Env):
    """Somebody else's environment: over when x > 3. Its wide picture is as bright as x is large."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 100}
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    drawn = 0

    def __init__(self, render_mode=None):
        self.render_mode, self.speed = render_mode, 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = 1.0
        return np.array([self.x]), {}

    def step(self, action):
        self.x += self.speed * float(action[0])
        return np.array([self.x]), self.x, self.x > 3, False, {}

    def render(self):
        Walk.drawn += 1
        return np.full((60, 600, 3), BRIGHTNESS * self.x, np.uint8)


class Undrawn(Walk):
    metadata = {"render_modes": ["ansi"]}

    def __init__(self):
        super().__init__()


class Unlucky(Walk):
    def render(self):
        raise gymnasium.error.DependencyNotInstalled("pygame is not installed")


for kind in (Walk, Undrawn, Unlucky):
    gymnasium.register(f"VideoTest{kind.__name__}-v0", kind)


def foreign(kind, **fields):
    fields = dict(horizon=20, num_tasks=1, num_trajectories=2) | fields
    return untrained(env=f"VideoTest{kind}-v0", vary=("speed=uniform:0,1",), **fields)


def constant(trained, action):
    """The same policy, acting the same everywhere."""
    theta = np.zeros_like(trained.meta.theta)
    theta[-2] = action  # the last bias; after it stands log σ
    return trained._replace(meta=trained.meta._replace(theta=theta, alpha=theta * 0, offset=theta * 0))


def frames(path):
    """The frames of a GIF, (n, height, width, 3), and how long each is shown, in milliseconds."""
    with Image.open(path) as image:
        pictures, durations = [], []
        for k in range(image.n_frames):
            image.seek(k)
            pictures.append(np.array(image.convert("RGB")))
            durations.append(image.info["duration"])
    return np.array(pictures), durations


def position(picture):
    """The x that `Walk` shows."""
    return picture[-9, 9, 0] / BRIGHTNESS


def test_two_panels_that_differ(tmp_path, capsys):
    path = side_by_side(untrained(), {"rotation": 1.5}, tmp_path / "new" / "point.gif", progress=True)
    assert path == tmp_path / "new" / "point.gif" and [p.name for p in path.parent.iterdir()] == ["point.gif"]
    pictures, durations = frames(path)
    assert pictures.shape == (11, POINT[1], 2 * POINT[0], 3)
    assert durations == [200] * 10 + [1500]  # five steps a second
    left, right = np.split(pictures[:, video.TITLE:], 2, axis=2)
    assert (left[0] == right[0]).all() and (left[-1] != right[-1]).any()  # the same start
    assert "video 22/22" in capsys.readouterr().err


def test_the_same_bytes_again(tmp_path):
    first, again, other = (side_by_side(untrained(), {"rotation": 1.5}, tmp_path / f"{k}.gif", seed=seed).read_bytes()
                           for k, seed in enumerate((0, 0, 1)))
    assert first == again != other


def test_a_method_without_adaptation_has_one_panel(tmp_path):
    pictures, _ = frames(side_by_side(untrained("point/dr"), {"rotation": 0.0}, tmp_path / "dr.gif"))
    assert pictures.shape == (11, *POINT[::-1], 3)


def test_cartpole(tmp_path):
    trained = untrained("cartpole/norml", num_trajectories=2, horizon=12)
    pictures, durations = frames(side_by_side(trained, {"angle_bias": 0.1}, tmp_path / "cartpole.gif", steps=2))
    assert pictures.shape == (13, 282, 808, 3) and sum(durations) == 12 * 20 + 1500


def test_cheetah(tmp_path):
    trained = untrained("cheetah/norml", num_trajectories=2, horizon=20)
    try:
        path = side_by_side(trained, {"swapped": 1.0}, tmp_path / "cheetah.gif", horizon=5)
    except ValueError as error:
        assert "MUJOCO_GL" in str(error)
        pytest.skip(str(error))
    pictures, durations = frames(path)
    assert pictures.shape == (6, 282, 648, 3) and durations == [50] * 5 + [1500]


def test_long_episodes_are_thinned_and_keep_their_pace(tmp_path, monkeypatch):
    monkeypatch.setattr(Walk, "drawn", 0)
    trained = constant(foreign("Walk", horizon=1000), 0.002)
    pictures, durations = frames(side_by_side(trained, {"speed": 0.5}, tmp_path / "walk.gif"))
    assert pictures.shape[1:] == (40 + 42, 2 * 404, 3)  # made smaller, in proportion
    assert len(pictures) == 1000 // 7 + 2 and Walk.drawn == 2 * len(pictures)
    assert sum(durations[:-1]) == pytest.approx(1000 * 10, rel=0.01) and min(durations) >= 20
    assert position(pictures[-1]) == pytest.approx(2, abs=0.05)  # at half the speed, and drawn to the end


def test_fast_environments_skip_frames(tmp_path):
    _, durations = frames(side_by_side(constant(foreign("Walk"), 0.01), {"speed": 1.0}, tmp_path / "walk.gif"))
    assert durations == [20] * 10 + [1500]  # 100 steps a second: every second one


def test_the_last_picture_of_a_shorter_episode_stays(tmp_path):
    trained = constant(foreign("Walk"), 0.5)  # over after five steps,
    trained.meta.offset[-2] = -0.5  # and when adapted stands still until the horizon
    pictures, _ = frames(side_by_side(trained, {"speed": 1.0}, tmp_path / "walk.gif"))
    left, right = np.split(pictures, 2, axis=2)
    assert [position(x) for x in left] == pytest.approx([1, 2, 3] + 8 * [3.5], abs=0.05)
    assert [position(x) for x in right] == pytest.approx(11 * [1], abs=0.05)


def test_scales(tmp_path):
    """The policy sees observations divided by their scale, and its actions are multiplied by theirs."""
    trained = untrained(env="VideoTestWalk-v0", vary=("speed=uniform:0,1",), horizon=3, obs_scale=(4.0,),
                        action_scale=(10.0,), activation="identity", hidden=(1,))
    trained.meta.theta[:] = [2, 0, 0.5, 0, -1]  # weight and bias of each layer, log σ: a = s
    env = gymnasium.make("VideoTestWalk-v0")
    assert list(video._live(env, trained.config, {"scale": 1.0}, trained.meta.theta, 0, None)) == [0.0, 1 + 10 / 4]


@pytest.mark.parametrize("given, options, message", [
    (lambda: untrained(), dict(task={"rotaton": 1.0}), "has no attribute 'rotaton'"),
    (lambda: untrained(), dict(steps=0), "steps: expected 1 or more; given 0"),
    (lambda: untrained(), dict(horizon=0), "horizon: expected 1 or more; given 0"),
    (lambda: foreign("Undrawn"), dict(task={"speed": 1.0}), r"expected one with render mode 'rgb_array'; .*'ansi'"),
    (lambda: foreign("Unlucky"), dict(task={"speed": 1.0}), "cannot be drawn: pygame is not installed"),
])
def test_wrong_input_writes_nothing(tmp_path, given, options, message):
    with pytest.raises(ValueError, match=message):
        side_by_side(given(), options.pop("task", {"rotation": 1.0}), tmp_path / "new" / "wrong.gif", **options)
    assert not list(tmp_path.iterdir())


def test_without_pillow(tmp_path, monkeypatch):
    trained = untrained()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"video needs pillow: pip install 'minorml\[plot\]'"):
        side_by_side(trained, {"rotation": 1.0}, tmp_path / "point.gif")


def test_an_action_that_is_not_finite(tmp_path):
    trained = untrained("point/dr")
    trained.meta.theta[0] = np.nan
    with pytest.raises(FloatingPointError, match="action: expected finite numbers; given .* in step 0"):
        side_by_side(trained, {"rotation": 1.0}, tmp_path / "nan.gif")


def test_parse_task():
    assert parse_task("rotation=1.5", [Uniform("rotation", -3, 3)]) == {"rotation": 1.5}
    assert parse_task("g=9, m=-2e1", [Uniform("g", 5, 15), Choice("m", (1, 2))]) == {"g": 9.0, "m": -20.0}


@pytest.mark.parametrize("text", ["", "g", "g=", "g=up", "g=1=2", "=1", "g=nan", "g=1,,m=2"])
def test_parse_task_names_what_it_expects(text):
    with pytest.raises(ValueError, match="expected NAME=NUMBER, several with ',' between them; given"):
        parse_task(text, [])


def test_parse_task_lists_what_is_missing():
    with pytest.raises(ValueError, match="expected a value for g, l too; given 'm=2'"):
        parse_task("m=2", [Uniform("g", 5, 15), Choice("m", (1, 2)), Uniform("l", 0, 1)])
