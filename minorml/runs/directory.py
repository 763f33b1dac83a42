"""A run's directory: what was asked, what happened, and where it stands.

    config.json      every field of Config, resolved
    versions.json    the code's commit, Python, packages, processor, BLAS
    spaces.json      how many observations and actions there are: a policy needs no environment then
    metrics.csv      one row per finished iteration
    checkpoints/     iteration-000300.npz …, one after every iteration: the last three, and each tenth of the run
    reference.npz    what logs of held-out tasks gave, measured after training (`minorml/deployment/reference.py`)
    failures/        what led to a number that is not finite, for `minorml replay`
    plots/           figures

After each iteration its row of metrics is put on the disk, and then its checkpoint (`minorml/runs/checkpoints.py`). So
whatever happens, at most the iteration in progress is lost. Rows past the newest checkpoint are cut off at a resume.
"""

import csv
import dataclasses
import errno
import os
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from ..rl.config import Config, from_json
from . import checkpoints, failures
from .checkpoints import read_json, write_atomically, write_json
from .machine import changes, commit, versions
from .progress import say

METRICS = ("iteration", "env_steps", "seconds", "pre_return", "pre_return_std", "post_return", "post_return_std",
           "episodes", "loss", "gradient_norm", "log_std", "alpha_norm", "clip_fraction")
KEPT = 3  # checkpoints
FILES = ("config.json", "versions.json", "spaces.json", "metrics.csv", "evaluation.csv", "reference.npz")
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what network disks without locks answer
FOLDERS = ("checkpoints", "failures", "plots")


class RunError(ValueError):
    """A run directory that cannot be used as asked; the message says what to do."""


class Run:
    """One run's directory, open for reading; `create` and `reopen` give one that may be written to."""

    def __init__(self, path):
        self.path = Path(path)
        self._metrics = None  # open for writing, once it is known where to go on
        self._longer = None  # the Config with more iterations that is taken over then
        try:
            self.config = from_json(read_json(self.path / "config.json"))
        except (FileNotFoundError, NotADirectoryError):
            raise RunError(f"{path}: no run here: config.json is missing") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise RunError(f"{path}/config.json: {error}") from None

    @classmethod
    def create(cls, path, config, overwrite=False):
        """Start a new directory. One that holds a run already is refused, or emptied with `overwrite`."""
        path = Path(path)
        if (path / "config.json").exists():
            if not overwrite:
                raise RunError(f"{path}: holds a run already; give --resume to continue it, --overwrite to "
                               "replace it, or another --out")
        else:
            cls.require_usable(path, config)
        path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        # config.json is written first of a new run and stays in an old one: with it alone, a run can be resumed.
        for name in FOLDERS:
            shutil.rmtree(path / name, ignore_errors=True)
        for name in FILES[1:]:
            (path / name).unlink(missing_ok=True)
        write_json(path / "config.json", dataclasses.asdict(config))
        return cls(path)._begin(lock)

    @classmethod
    def reopen(cls, path, config, other_versions=False):
        """Continue a run. Configuration and versions must be those it was started with; it may be made longer.

        other_versions : go on with other versions of Python or of packages, knowingly: the last bits will differ
        """
        run = cls(path)
        longer = run._require_same(config)
        lock = _lock(run.path)
        for partial in run.path.glob("**/.*.partial"):
            partial.unlink(missing_ok=True)
        try:
            started = any((run.path / "checkpoints").glob("*"))
            if started:
                run._check_versions(other_versions)
            run._longer = config if longer else None
            if not started:  # it was stopped before its first checkpoint
                if (run.path / "metrics.csv").exists():
                    say(f"{path}: there is no checkpoint; the run starts from its first iteration")
                return run._begin(lock)
        except BaseException:
            lock.release()
            raise
        run._lock = lock
        return run

    @classmethod
    def require_usable(cls, path, config):
        """Raise RunError if `path` holds anything but this configuration's run, or its start, or nothing."""
        path = Path(path)
        if (path / "config.json").exists():
            cls(path)._require_same(config)
        elif path.is_symlink() and not path.exists():
            raise RunError(f"{path}: expected a folder; there is a link to {path.readlink()}, which does not exist")
        elif path.exists() and not path.is_dir():
            raise RunError(f"{path}: expected a folder; there is a file of that name")
        elif path.exists() and any(not _a_start(entry) for entry in path.iterdir()):
            raise RunError(f"{path}: holds files that are not a run's; choose another --out")

    def _require_same(self, config):
        """Whether `config` is this run's but for more iterations; RunError if it differs in anything else."""
        names = [f.name for f in dataclasses.fields(Config) if getattr(self.config, f.name) != getattr(config, f.name)]
        longer = names == ["iterations"] and config.iterations > self.config.iterations
        if names and not longer:
            raise RunError(f"{self.path}: cannot resume with another configuration (but for more iterations):\n  "
                           + "\n  ".join(f"{name}: {getattr(self.config, name)!r} in the run, "
                                         f"{getattr(config, name)!r} asked for" for name in names))
        return longer

    def _begin(self, lock):
        """The other files of a run that has only its config.json, open for writing."""
        self._lock = lock
        for name in FOLDERS:
            (self.path / name).mkdir(exist_ok=True)
        write_json(self.path / "versions.json", {"commit": commit(), **versions()})
        self._start_metrics([])
        return self

    def _check_versions(self, others_are_fine):
        """The same bits are promised for the same versions alone. What it goes on with is noted in versions.json."""
        here = {"commit": commit(), **versions()}
        try:
            kept = read_json(self.path / "versions.json")
            earlier = kept.get("went_on_with", [])
            of_versions, of_machine, of_commit = changes((earlier or [kept])[-1], here)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(f"{self.path}/versions.json: cannot be read ({error})") from None
        if of_versions and not others_are_fine:
            raise RunError(f"{self.path}: cannot resume with other versions, which give other numbers:\n  "
                           + "\n  ".join(of_versions) + "\n--other-versions resumes all the same")
        if of_versions or of_machine:
            say(f"{self.path}: goes on elsewhere, and its last bits may differ: {'; '.join(of_versions + of_machine)}")
            write_json(self.path / "versions.json", {**kept, "went_on_with": [*earlier, here]})
        if of_commit:
            say(f"{self.path}: {of_commit}; the numbers are the same only if what they depend on is")

    def keep_workers(self, others):
        """Note in versions.json what those workers have that are not as this process is."""
        path = self.path / "versions.json"
        write_json(path, {**read_json(path), "workers": others})

    def keep_spaces(self, obs_dim, act_dim):
        """Note how many observations and actions there are."""
        write_json(self.path / "spaces.json", {"observations": obs_dim, "actions": act_dim})

    def spaces(self):
        """(S, U); None for a run that was begun before they were kept."""
        try:
            spaces = read_json(self.path / "spaces.json")
            return tuple(_number(int, spaces[name]) for name in ("observations", "actions"))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(f"{self.path}/spaces.json: {error}") from None

    def metrics(self):
        """metrics.csv as a list of dicts of numbers."""
        return self._rows()[1]

    def _rows(self, count=None):
        """The first `count` rows of metrics.csv, or all: (their lines, the same as dicts of numbers).

        A last line that was not written to its end, because the disk was full, is no row.
        """
        try:
            lines = (self.path / "metrics.csv").read_text().rpartition("\n")[0].splitlines()
            lines = lines if count is None else lines[:1 + count]
            return lines[1:], [{name: float(row[name]) for name in METRICS} for row in csv.DictReader(lines)]
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            raise RunError(f"{self.path}/metrics.csv: cannot be read ({error!r})") from None

    def _start_metrics(self, rows):
        """Write metrics.csv anew, with these lines of text after the header, and keep it open."""
        text = "".join(line + "\r\n" for line in [",".join(METRICS), *rows])
        write_atomically(self.path / "metrics.csv", text.encode())
        if self._metrics is not None:
            self._metrics.close()
        self._metrics = open(self.path / "metrics.csv", "ab", buffering=0)  # nothing is left to write when it closes

    def append(self, row):
        """One more row of metrics, on the disk."""
        try:
            line = (",".join(_short(row[name]) for name in METRICS) + "\r\n").encode()
            while line:
                line = line[self._metrics.write(line):]
            os.fsync(self._metrics.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path / "metrics.csv")) from error

    def save(self, state):
        """Write a checkpoint, and drop those older than the last three but for each tenth of the run."""
        arrays, facts = _to_arrays(state)
        checkpoints.write(self.path / "checkpoints" / f"iteration-{state.iteration:06d}.npz", arrays, **facts)
        tenth = self.config.iterations // 10
        for iteration, old in list(self.kept().items())[:-KEPT]:
            if tenth < KEPT or iteration % tenth > 0:  # of a run of fewer than thirty nobody wants the past
                old.unlink()

    def load(self, template, warn=say, iteration=None):
        """The newest checkpoint that can be read (a damaged one is named) or an iteration's: State like `template`."""
        found = self.kept()
        if iteration is not None and iteration not in found:
            raise RunError(f"{self.path}/checkpoints: none of iteration {iteration}; there are {[*found]}")
        for path in reversed(found.values()) if iteration is None else [found[iteration]]:
            try:
                state = _from_arrays(*checkpoints.read(path, _to_arrays(template)[0]), template)
                if path.name != f"iteration-{state.iteration:06d}.npz":
                    raise ValueError(f"it is of iteration {state.iteration}")
                return state
            except (OSError, ValueError) as error:
                warn(f"{path}: damaged ({error}); trying the one before it")
        raise RunError(f"{self.path}/checkpoints: no checkpoint that can be read")

    def restore(self, template):
        """The State to go on from, with metrics.csv cut back to it. `template`: the initial state."""
        state = self.load(template) if self.kept() else template
        lines, rows = self._rows(state.iteration)
        found = [row["iteration"] for row in rows]
        if found != list(range(1, state.iteration + 1)):
            raise RunError(f"{self.path}/metrics.csv: expected a row for each iteration up to {state.iteration}, that "
                           f"of the checkpoint; {len(found)} rows found, or in another order")
        self._start_metrics(lines)
        if self._longer is not None:
            say(f"{self.path}: {self._longer.iterations} iterations now, not {self.config.iterations}; the outer rate "
                 "decays over the longer run from here on")
            write_json(self.path / "config.json", dataclasses.asdict(self._longer))
            self.config, self._longer = self._longer, None
        return state

    def keep_failure(self, error):
        """Write what led to a number that is not finite; returns the file."""
        path = self.path / "failures" / f"iteration-{error.failure.iteration + 1:06d}.npz"
        path.parent.mkdir(exist_ok=True)
        failures.keep(path, self.config, error.failure, str(error))
        return path

    def discard(self):
        """Close the run, and remove all of it: nothing was learned yet."""
        self.close()
        for name in FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (*FILES, ".lock"):
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def close(self):
        """Let another process write to the run."""
        if self._metrics is not None:
            self._metrics.close()
        self._lock.release()

    def kept(self):
        """The checkpoints that there are, {iteration: file}, the oldest first."""
        found = (self.path / "checkpoints").glob("iteration-*.npz")
        return dict(sorted((int(path.stem[10:]), path) for path in found if path.stem[10:].isdecimal()))


def _a_start(entry):
    """Whether a file is what remains of a run that was stopped before it had its config.json."""
    return entry.name == ".lock" or (entry.name.startswith(".") and entry.name.endswith(".partial"))


def _lock(path):
    """Hold the directory against a second writer until the returned lock is released, or the process ends."""
    lock = FileLock(path / ".lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"{path}: another process is writing to this run") from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        raise OSError(f"{path / '.lock'}: this disk cannot lock files ({error}); give an --out on another disk, and "
                      "move the run when it is finished") from error
    return lock


def _to_arrays(state):
    """A State as (named arrays, numbers)."""
    arrays, counts = failures.pack(state.meta, state.moments)
    return arrays, {"iteration": state.iteration, "env_steps": state.env_steps, "seconds": state.seconds,
                    "counts": counts}


def _from_arrays(arrays, facts, template):
    try:
        counts = {name: _number(int, facts["counts"][name]) for name in template.moments}
        return type(template)(*failures.unpack(arrays, counts), *(_number(type(getattr(template, name)), facts[name])
                                               for name in ("iteration", "env_steps", "seconds")))
    except (KeyError, TypeError) as error:
        raise ValueError(f"its manifest lacks {error}") from None


def _number(kind, value):
    if type(value) is not kind or not 0 <= value < 2**63:
        raise ValueError(f"its manifest says {value!r}, where a number is expected")
    return value


def _short(value):
    """A number for metrics.csv: integers as they are, others with nine significant digits."""
    return str(value) if isinstance(value, int) else f"{float(value):.9g}"
