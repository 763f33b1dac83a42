"""A GIF of one task: an episode before adaptation, and beside it one after. Pillow is asked for only then (extra
`plot`).
"""

import io
import math
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np

from ..methods import METHODS
from ..policy import GaussianPolicy
from ..rl.checks import require_number
from ..rl.foreign import told
from ..rl.rollout import scale_actions, scale_observations
from ..rl.tasks import describe, set_tasks
from ..runs.checkpoints import write_atomically
from ..runs.progress import Progress
from .finetune import finetune

MAX_FRAMES = 150  # longer episodes are thinned
MIN_SECONDS = 0.02  # of a frame; browsers slow down what is faster
HELD_SECONDS = 1.5  # the last frame
COLOURS = 128
MAX_WIDTH, TITLE, BORDER, FONT_SIZE = 400, 38, 2, 13  # pixels: a panel's width, its title's height, …


def side_by_side(trained, task, path, steps=None, seed=0, progress=False, horizon=None):
    """Write a GIF of one task: on the left the meta-policy, on the right the policy that `finetune` adapts to it.

    Both act with the mean action f(s; θ_μ), without noise, so that all that differs is what adaptation changed; the
    trajectories that it adapts to are sampled with noise, as always. An episode that ends sooner than the other keeps
    its last picture. A method without adaptation has one panel.

    Parameters
    ----------
    trained : Trained, from `train` or `load`
    task : {attribute: value}, for example {"rotation": 1.5}
    path : of the GIF
    steps : adaptation steps, default: as many as it was trained for
    seed : of the exploration, and of the resets
    progress : show progress on stderr
    horizon : the most steps to show, default `config.horizon`; time always passes at its real pace, so that the
        cheetah's 1000 steps get three frames a second, and 150 steps get twenty

    Returns
    -------
    path

    Raises
    ------
    ImportError : pillow is missing
    ValueError : no such attribute, or an environment that cannot be drawn here
    FloatingPointError : an action is not finite
    """
    for name, value in (("steps", steps), ("horizon", horizon)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected 1 or more; given {value}")
    PIL, config, path = _pillow(), trained.config, Path(path)
    steps = config.adapt_steps if steps is None else steps
    env = _make(config.env, config.env_options, task)
    try:
        if METHODS[config.method].adapts:
            after = f"after {steps} step{'s' * (steps > 1)} of adaptation"
            thetas = {"before adaptation": trained.meta.theta, after: finetune(trained, [task], steps, seed)[0]}
        else:
            thetas = {"without adaptation": trained.meta.theta}
        lengths = [sum(1 for _ in _live(env, config, task, theta, seed, horizon)) - 1 for theta in thetas.values()]
        fps = env.metadata.get("render_fps") or 30
        stride = max(1, math.ceil(max(lengths) / MAX_FRAMES), math.ceil(MIN_SECONDS * fps))
        panels = []
        with Progress(sum(math.ceil(n / stride) + 1 for n in lengths), label="video", enabled=progress) as shown:
            for (stage, theta), length in zip(thetas.items(), lengths):  # once more, now drawing what is kept
                panels.append([])
                for t, total in enumerate(_live(env, config, task, theta, seed, horizon)):
                    if t % stride == 0 or t == length:
                        panels[-1].append(_panel(PIL, _draw(env, config.env), stage, task, total))
                        shown.update()
    finally:
        env.close()
    frames = [np.concatenate([panel[min(k, len(panel) - 1)] for panel in panels], axis=1)
              for k in range(max(map(len, panels)))]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _gif(PIL, frames, stride / fps))
    return path


def _pillow():
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError:
        raise ImportError("video needs pillow: pip install 'minorml[plot]'") from None
    return PIL


def _make(name, options, task):
    """The environment, ready to be drawn, with the task set."""
    try:
        with gymnasium.make(name, disable_env_checker=True, **options) as env:
            modes = env.metadata.get("render_modes") or ()
            for attribute in task:
                require_number(SimpleNamespace(envs=[env]), attribute)
        if "rgb_array" not in modes:
            raise ValueError(f"env {name}: expected one with render mode 'rgb_array'; it has {list(modes)}")
        env = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True, **options)
        set_tasks(SimpleNamespace(envs=[env]), [task], 1)
    except (gymnasium.error.Error, ImportError, AttributeError) as error:
        raise ValueError(f"env {name}: {error}") from error
    return env


def _live(env, config, task, theta, seed, horizon):
    """Live one episode with the mean action; yield the return so far, at its start and after each step."""
    policy = GaussianPolicy(*env.observation_space.shape, *env.action_space.shape, config.hidden, config.activation)
    names = [f"{describe(task)} (env {config.env})"]
    with told("reset", names):
        observation, _ = env.reset(seed=seed)
    total = 0.0
    yield total
    for t in range(horizon or config.horizon):
        s = scale_observations(observation, config.obs_scale).astype(theta.dtype)
        a = scale_actions(policy.mean(theta, s[None])[0], config.action_scale, config.action_offset)
        if not np.isfinite(a).all():
            raise FloatingPointError(f"action: expected finite numbers; given {a} in step {t}")
        with told(f"step {t}", names):
            observation, reward, terminated, truncated, _ = env.step(a)
        total += np.asarray(reward, np.float64).item()
        yield total
        if terminated or truncated:
            return


def _draw(env, name):
    """The present picture, (height, width, 3) uint8."""
    try:
        return np.asarray(env.render(), np.uint8)
    except Exception as error:  # a missing package, no OpenGL: every renderer has its own
        raise ValueError(f"env {name}: cannot be drawn: {error}") from error


def _panel(PIL, picture, stage, task, total):
    """A picture in a border under its title, (height, width, 3) uint8."""
    image = PIL.Image.fromarray(picture)
    if image.width > MAX_WIDTH:
        image = image.resize((MAX_WIDTH, round(image.height * MAX_WIDTH / image.width)))
    width, height = image.width + 2 * BORDER, image.height + 2 * BORDER + TITLE
    panel = PIL.Image.new("RGB", (width, height), "white")
    panel.paste(image, (BORDER, BORDER + TITLE))
    draw, font = PIL.ImageDraw.Draw(panel), PIL.ImageFont.load_default(FONT_SIZE)
    draw.rectangle([0, 0, width - 1, height - 1], outline="silver", width=BORDER)
    draw.text((8, 5), stage, "black", font)
    draw.text((width - 8, 5), f"return {total:.2f}", "black", font, anchor="ra")
    draw.text((8, 21), describe(task), "dimgray", font)
    return np.array(panel)


def _gif(PIL, frames, seconds):
    """The bytes of a GIF of frames (height, width, 3), each shown for so many seconds, all in the same colours."""
    sample = PIL.Image.fromarray(np.concatenate(frames[::math.ceil(len(frames) / 8)]))
    palette = sample.quantize(COLOURS)
    images = [PIL.Image.fromarray(x).quantize(palette=palette, dither=PIL.Image.Dither.NONE) for x in frames]
    shown_at = np.round(100 * seconds * np.arange(len(images))).astype(int)  # a GIF counts hundredths of a second
    durations = [*(10 * np.diff(shown_at)).tolist(), round(1000 * HELD_SECONDS)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return buffer.getvalue()
