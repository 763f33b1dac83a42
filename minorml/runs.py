"""A run's directory: what was asked, what happened, and where it stands.

    config.json      every field of Config, resolved
    versions.json    Python, packages, processor, BLAS
    metrics.csv      one row per finished iteration, flushed as it is written
    checkpoints/     iteration-000300.npz …, the last three
    plots/           figures

A checkpoint is written to a temporary file, synced, and moved over its name, so a crash leaves the old one or
the new one, never half of one. It holds plain arrays and one JSON text; nothing is ever pickled.
"""

import csv
import dataclasses
import fcntl
import io
import json
import os
import platform
import shutil
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from .adam import Moments
from .config import Config
from .meta import MetaParameters

METRICS = ("iteration", "env_steps", "seconds", "pre_return", "pre_return_std", "post_return", "post_return_std",
           "episodes", "loss", "gradient_norm", "log_std", "alpha_norm", "clip_fraction")
KEPT = 3  # checkpoints


class RunError(ValueError):
    """A run directory that cannot be used as asked; the message says what to do."""


class Run:
    """One run's directory, open for reading; `create` and `reopen` give one that may be written to."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            fields = json.loads((self.path / "config.json").read_text())
            self.config = Config(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})
        except FileNotFoundError:
            raise RunError(f"{path}: no run here: config.json is missing") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise RunError(f"{path}/config.json: {error}") from None

    @classmethod
    def create(cls, path, config, overwrite=False):
        """Start a new directory. One that holds a run already is refused, or emptied with `overwrite`."""
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise RunError(f"{path}: expected a folder; there is a file of that name")
        if path.exists() and any(path.iterdir()):
            if not (path / "config.json").exists():
                raise RunError(f"{path}: holds files that are not a run's; choose another --out")
            if not overwrite:
                raise RunError(f"{path}: holds a run already; give --resume to continue it, --overwrite to "
                               "replace it, or another --out")
        path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        for name in ("metrics.csv", "evaluation.csv", "config.json", "versions.json"):
            (path / name).unlink(missing_ok=True)
        for name in ("checkpoints", "plots"):
            shutil.rmtree(path / name, ignore_errors=True)
            (path / name).mkdir()
        write_atomically(path / "versions.json", _json(versions()))
        write_atomically(path / "config.json", _json(dataclasses.asdict(config)))
        run = cls(path)
        run._lock = lock
        run._start_metrics([])
        return run

    @classmethod
    def reopen(cls, path, config):
        """Continue a run. The configuration must be the one it was started with."""
        run = cls(path)
        differences = [f"{f.name}: {getattr(run.config, f.name)!r} in the run, {getattr(config, f.name)!r} asked for"
                       for f in dataclasses.fields(Config)
                       if getattr(run.config, f.name) != getattr(config, f.name)]
        if differences:
            raise RunError(f"{path}: cannot resume with another configuration:\n  " + "\n  ".join(differences))
        run._lock = _lock(run.path)
        for stale in run.path.glob("**/.*.partial"):
            stale.unlink()
        return run

    def metrics(self):
        """metrics.csv as a list of dicts of numbers."""
        try:
            with open(self.path / "metrics.csv", newline="") as file:
                return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise RunError(f"{self.path}/metrics.csv: cannot be read ({error})") from None

    def _start_metrics(self, rows):
        """Write metrics.csv anew, with these lines of text after the header, and keep it open."""
        text = "".join(line + "\r\n" for line in [",".join(METRICS), *rows])
        write_atomically(self.path / "metrics.csv", text.encode())
        self._metrics = open(self.path / "metrics.csv", "a", newline="")

    def append(self, row):
        """One more row of metrics, flushed."""
        csv.DictWriter(self._metrics, METRICS).writerow({name: _short(row[name]) for name in METRICS})
        self._metrics.flush()

    def save(self, state):
        """Write a checkpoint and drop those older than the last three."""
        buffer = io.BytesIO()
        np.savez(buffer, **_to_arrays(state), allow_pickle=False)
        write_atomically(self.path / "checkpoints" / f"iteration-{state.iteration:06d}.npz", buffer.getvalue())
        for old in self._checkpoints()[:-KEPT]:
            old.unlink()

    def load(self, template, warn=lambda text: print(text, file=sys.stderr)):
        """The newest checkpoint that can be read, as a State shaped like `template`; a damaged one is named."""
        for path in reversed(self._checkpoints()):
            try:
                return _from_arrays(_read_arrays(path, _to_arrays(template)), template)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                warn(f"{path}: damaged ({error}); trying the one before it")
        raise RunError(f"{self.path}/checkpoints: no checkpoint that can be read")

    def cut_metrics(self, iteration):
        """Drop the rows past `iteration`, which a continued run will write again."""
        lines = (self.path / "metrics.csv").read_text().splitlines()[1:]
        self._start_metrics(lines[:iteration])

    def close(self):
        self._metrics.close()
        self._lock.close()

    def _checkpoints(self):
        return sorted((self.path / "checkpoints").glob("iteration-*.npz"))


def write_atomically(path, data):
    """Write bytes so that a crash, or a full disk, leaves the old file or the new one whole."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lock(path):
    """Hold the directory against a second writer until the returned file is closed, or the process ends."""
    file = open(path / ".lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RunError(f"{path}: another process is writing to this run") from None
    return file


def _to_arrays(state):
    """A State as named arrays; numbers as JSON."""
    arrays = {f"meta/{name}": array for name, array in state.meta._asdict().items()}
    for name, moments in state.moments.items():
        arrays[f"moments/{name}/first"] = moments.first
        arrays[f"moments/{name}/second"] = moments.second
    numbers = {"iteration": state.iteration, "env_steps": state.env_steps, "seconds": state.seconds,
               "counts": {name: moments.count for name, moments in state.moments.items()}}
    return {**arrays, "numbers": np.frombuffer(json.dumps(numbers).encode(), np.uint8)}


def _from_arrays(arrays, template):
    numbers = json.loads(arrays["numbers"].tobytes())
    moments = {name: Moments(arrays[f"moments/{name}/first"], arrays[f"moments/{name}/second"],
                             numbers["counts"][name]) for name in template.moments}
    meta = MetaParameters(**{name: arrays[f"meta/{name}"] for name in MetaParameters._fields})
    return type(template)(meta, moments, numbers["iteration"], numbers["env_steps"], numbers["seconds"])


def _read_arrays(path, expected):
    """The arrays of a checkpoint, each with the shape and dtype expected. Sizes are checked before memory is taken."""
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
        if names != set(expected):
            raise ValueError(f"expected {len(expected)} arrays of this configuration, found {len(names)} others")
        for name, array in expected.items():
            if archive.getinfo(name + ".npy").file_size > array.nbytes + 4096:
                raise ValueError(f"{name}: larger than expected")
    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in expected}
    for name, array in expected.items():
        if name != "numbers" and (found[name].shape, found[name].dtype) != (array.shape, array.dtype):
            raise ValueError(f"{name}: expected {array.shape} {array.dtype}; found {found[name].shape} "
                             f"{found[name].dtype}")
    return found


def _short(value):
    """A number for metrics.csv: integers as they are, others with nine significant digits."""
    return value if isinstance(value, int) else f"{float(value):.9g}"


def _json(value):
    return (json.dumps(value, indent=2) + "\n").encode()


def versions():
    """What a number may depend on besides the configuration."""
    packages = ("minorml", "numpy", "numba", "scipy", "gymnasium", "mujoco")
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return {"python": platform.python_version(), "packages": found, "platform": platform.platform(),
            "processor": _processor(), "cpus": os.cpu_count(),
            "blas": sorted({f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')}".strip()
                            for lib in threadpool_info() if lib["user_api"] == "blas"})}


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
