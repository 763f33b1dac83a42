"""Where runs come from: the commands that make them again, and what they were made with."""

import json

from ..rl.config import Config, setting
from ..rl.presets import PRESETS, changes, closest


def made_with(run):
    """Commit, versions and processor that a run was begun with, as a line of text."""
    try:
        versions = json.loads((run.path / "versions.json").read_text())
        packages = ", ".join(f"{name} {version}" for name, version in versions["packages"].items() if version)
        return (f"commit {versions.get('commit') or 'not recorded'}; Python {versions['python']}, {packages}; "
                f"{versions['processor']}, {versions['cpus']} CPUs; {', '.join(versions['blas'])}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "versions.json cannot be read"


def commands(runs):
    """The commands that make these runs again, as lists of words: sweeps of what lies as a sweep leaves it."""
    sweeps, others = {}, []
    for run in runs:
        name, config = closest(run.config), run.config
        if name is None:
            plain = Config(env=config.env, vary=config.vary, method=config.method, horizon=config.horizon)
            start = ["--env", config.env, "--method", config.method, *_each("--vary", config.vary)]
            fields = ["horizon", *changes(config, plain)]
        else:
            start, fields = ["--preset", name], changes(config, PRESETS[name])
        options = _each("--set", [setting(field, getattr(config, field)) for field in fields])
        if name is not None and run.path.name == f"{name.replace('/', '-')}-{config.seed}":
            sweeps.setdefault((run.path.parent, *options), {}).setdefault(name, []).append(config.seed)
        else:
            others.append(["minorml", "train", *start, "--seed", str(config.seed), *options, "--out", str(run.path)])
    together = {}
    for where, presets in sweeps.items():
        for name, seeds in presets.items():
            together.setdefault((where, _ranges(seeds)), []).append(name)
    return [["minorml", "sweep", "--presets", ",".join(names), "--seeds", seeds, *options, "--out", str(folder)]
            for ((folder, *options), seeds), names in together.items()] + others


def _each(option, values):
    return [x for value in values for x in (option, value)]


def _ranges(seeds):
    """[0, 1, 2, 5] → `0-2,5`"""
    parts = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][1] + 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in parts)
