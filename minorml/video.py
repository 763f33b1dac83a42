"""One task before and after adaptation, side by side in a GIF. Pillow is asked for only here (extra `plot`).

    ┌ before ─────── return ┬ after 1 step ── return ┐
    │ task                  │ task                   │      one episode each, from the same reset seed,
    │      episode of       │      episode of        │      with the mean action f(s; θ_μ)
    │         π_θ           │         π_θi           │
    └───────────────────────┴────────────────────────┘
"""

import io
import math
from pathlib import Path

import gymnasium
import numpy as np

from .finetune import finetune
from .methods import METHODS
from .policy import GaussianPolicy
from .progress import Progress
from .runs import write_atomically
from .tasks import describe

MAX_FRAMES = 150  # more than these are thinned
MIN_SECONDS = 0.02  # of a frame; browsers slow down what is faster
HELD_SECONDS = 1.5  # the last frame
MAX_WIDTH = 400  # pixels of one panel
COLOURS = 128
GAP, BAR, FONT_SIZE = 4, 38, 13  # pixels


def _pillow():
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError:
        raise ImportError("video needs pillow: pip install 'minorml[plot]'") from None
    return PIL


def parse_task(text, distribution):
    """`rotation=1.5` or `g=9,m=2` → {attribute: value}, with a value for each attribute that the tasks vary.

    Raises ValueError for anything else. `distribution`: a list of `Uniform`s and `Choice`s, as `Config.distribution`.
    """
    try:
        task = {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        task = {}
    if not task or not all(name.isidentifier() and math.isfinite(value) for name, value in task.items()):
        raise ValueError(f"task: expected NAME=NUMBER, several with ',' between them; given {text!r}")
    missing = [part.name for part in distribution if part.name not in task]
    if missing:
        raise ValueError(f"task: expected a value for {', '.join(missing)} too; given {text!r}")
    return task


def side_by_side(trained, task, path, steps=1, seed=0, progress=False):
    """Write a GIF of one task: the meta-policy on the left, on the right the policy adapted by `finetune`.

    Both act with the mean action f(s; θ_μ), without the policy's noise: what is seen to differ is what adaptation
    changed. (The trajectories that it adapts to are sampled with the noise, as always.) An episode that ends sooner
    than the other keeps its last picture. A method without adaptation has one panel.

    Parameters
    ----------
    trained : Trained, from `train` or `load`
    task : {attribute: value}, for example {"rotation": 1.5}
    path : of the GIF; its folder is made
    steps : adaptation steps
    seed : of the exploration, and of both resets
    progress : show progress on stderr

    Returns
    -------
    path

    Raises
    ------
    ImportError : pillow is missing
    ValueError : no such attribute, or an environment that cannot be drawn here
    FloatingPointError : an action is not finite
    """
    PIL, config, path = _pillow(), trained.config, Path(path)
    if steps < 1:
        raise ValueError(f"steps: expected 1 or more; given {steps}")
    env = _make(config.env, task)
    fps = env.metadata.get("render_fps") or 30
    stride = max(1, math.ceil(config.horizon / MAX_FRAMES), math.ceil(MIN_SECONDS * fps))
    thetas = {"before": trained.meta.theta}
    try:
        if METHODS[config.method].adapts:
            thetas[f"after {steps} step" + "s" * (steps > 1)], = finetune(trained, [task], steps, seed)
        panels = []
        with Progress(len(thetas), label="video", enabled=progress) as shown:
            for stage, theta in thetas.items():
                lived = _episode(env, config, theta, seed, stride)
                panels.append([_titled(PIL, picture, stage, describe(task), total) for picture, total in lived])
                shown.update(frames=len(panels[-1]))
    finally:
        env.close()

    path.parent.mkdir(parents=True, exist_ok=True)
    length = max(len(panel) for panel in panels)
    held = [panel + panel[-1:] * (length - len(panel)) for panel in panels]
    write_atomically(path, _gif(PIL, [_row(PIL, pictures) for pictures in zip(*held)], stride / fps))
    return path


def _make(name, task):
    """The environment, ready to be drawn, with the task set."""
    try:
        with gymnasium.make(name, disable_env_checker=True) as env:
            modes = env.metadata.get("render_modes") or ()
            unknown = [attribute for attribute in task if not env.has_wrapper_attr(attribute)]
        if "rgb_array" not in modes:
            raise ValueError(f"env {name}: cannot be drawn: expected render mode 'rgb_array'; it has {list(modes)}")
        if unknown:
            raise ValueError(f"task: {name} has no attribute {', '.join(map(repr, unknown))}")
        env = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True)
        for attribute, value in task.items():
            env.set_wrapper_attr(attribute, value)
    except (gymnasium.error.Error, ImportError, AttributeError) as error:
        raise ValueError(f"env {name}: {error}") from error
    return env


def _episode(env, config, theta, seed, stride):
    """Live one episode; yield (picture, return so far) at its start, at every `stride`th step and at its end."""
    policy = GaussianPolicy(env.observation_space.shape[0], env.action_space.shape[0], config.hidden,
                            config.activation)
    s, _ = env.reset(seed=seed)
    total = 0.0
    yield _draw(env, config.env), total
    for t in range(1, config.horizon + 1):
        (a,) = policy.mean(theta, np.asarray(s, theta.dtype)[None])
        if not np.isfinite(a).all():
            raise FloatingPointError(f"action: expected finite numbers; given {a} in step {t - 1}")
        s, reward, terminated, truncated, _ = env.step(a)
        total += float(reward)
        ended = terminated or truncated or t == config.horizon
        if ended or t % stride == 0:
            yield _draw(env, config.env), total
        if ended:
            return


def _draw(env, name):
    try:
        return np.asarray(env.render(), np.uint8)
    except Exception as error:  # a missing package, no OpenGL: each renderer has its own
        raise ValueError(f"env {name}: cannot be drawn: {error}") from error


def _titled(PIL, picture, stage, task, total):
    """A picture (height, width, 3) under its bar, as an image."""
    image = PIL.Image.fromarray(picture)
    if image.width > MAX_WIDTH:
        image = image.resize((MAX_WIDTH, round(image.height * MAX_WIDTH / image.width)))
    panel = PIL.Image.new("RGB", (image.width, BAR + image.height), "white")
    panel.paste(image, (0, BAR))
    draw, font = PIL.ImageDraw.Draw(panel), PIL.ImageFont.load_default(FONT_SIZE)
    draw.text((6, 3), stage, "black", font)
    draw.text((image.width - 6, 3), f"return {total:.2f}", "black", font, anchor="ra")
    draw.text((6, 20), task, "dimgray", font)
    return panel


def _row(PIL, images):
    """Images of one size beside each other."""
    width, height = images[0].size
    row = PIL.Image.new("RGB", (len(images) * (width + GAP) - GAP, height), "black")
    for i, image in enumerate(images):
        row.paste(image, (i * (width + GAP), 0))
    return row


def _gif(PIL, frames, seconds):
    """Bytes of a GIF that shows each frame for `seconds`, all in the same colours."""
    sample = frames[::math.ceil(len(frames) / 8)]
    montage = PIL.Image.new("RGB", (frames[0].width, len(sample) * frames[0].height))
    for i, frame in enumerate(sample):
        montage.paste(frame, (0, i * frame.height))
    palette = montage.quantize(COLOURS)
    frames = [frame.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for frame in frames]
    shown_at = np.round(100 * seconds * np.arange(len(frames))).astype(int)  # a GIF counts hundredths of a second
    durations = [*(10 * np.diff(shown_at)).tolist(), round(1000 * HELD_SECONDS)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return buffer.getvalue()
