"""Fuzzing: whatever a text or a file holds, it is taken as what it is or refused, at once and in few words.

1,980 cases in the default run: 600 of `--set`, 300 of task distributions, 240 command lines, 440 of config.json and
400 of metrics.csv, half of them resumed. 820 more are in `test_fuzz_checkpoints.py`. Integers are small or absurd,
never merely large: a valid configuration may well ask for an hour of work.
"""

import dataclasses
import functools
import io
import json
import signal
import tempfile
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_train import small

import minorml
from minorml.__main__ import main
from minorml.experiments.trained import State, initial_state
from minorml.rl.config import Config, from_json, parse_setting
from minorml.rl.problem import make_problem
from minorml.rl.tasks import Uniform, parse, sample_tasks
from minorml.runs.directory import METRICS, Run, RunError

pytestmark = pytest.mark.filterwarnings("ignore")  # of overflows

SECONDS = 20  # the longest that a case may take: none comes near, and a hang is seen as such
ABSURD = 10**15  # no machine has the memory for as many of anything
TINY = small(num_tasks=2, num_trajectories=2, hidden=(4,), laf_hidden=(4,), iterations=3)
NAMES = [f.name for f in dataclasses.fields(Config)]
NUMBERS = ["0", "1", "2", "-1", "0.5", "inf", "-inf", "nan", "1e400", "1e300", "-1e308", "1e308", "9" * 20, "9" * 5000,
           str(ABSURD), str(2**63), "0x10", "1_0", "١", " 1 ", "1.", "", "None", "true", "\x00", "🦾", "\ud800", "\n"]
VALUES = [",", ",,4", "4;4", "=", "a=b=c", ";", "tanh", "False", "dr", "float64", ":", "a:b:c", ".x:Y-v0", "../Y-v0",
          "rotation=choice:1,2,3", "rotation=uniform:1,0;rotation=uniform:0,1", "CartPole-v1", "Pendulum-v1"]


class Sample(NamedTuple):
    """What the cases are mutations of."""

    files: dict[str, bytes]  # of a run's directory after three iterations
    template: State
    failure: bytes  # a file of failures/ with the batches of both tasks


@functools.cache
def sample():
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        minorml.train(TINY, f"{folder}/run", progress=False)
        with pytest.raises(FloatingPointError, match="after the update"):
            minorml.train(TINY, f"{folder}/failed", progress=False, outer_rate=1e300)
        (failure,) = Path(folder, "failed/failures").iterdir()
        problem = make_problem(TINY, 1)
        problem.envs.close()
        return Sample(contents(Path(folder, "run")), initial_state(problem), failure.read_bytes())


@pytest.fixture(scope="module", autouse=True)
def made_before_the_first_case():
    sample()


def contents(folder):
    """The files of a folder and what is in them, as {path in it: bytes}."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def directory(files):
    """A new folder with these files, {path in it: bytes}."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        yield Path(folder)


@contextmanager
def promptly():
    """What happens here takes no longer than a case may."""
    def fail(*_):
        pytest.fail(f"still at it after {SECONDS} s")  # no `Exception`: nobody on the way handles it

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_main(*options):
    """The program → (exit status, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), np.errstate(all="ignore"), promptly():
        try:
            status = main([str(option) for option in options])
        except SystemExit as stop:  # argparse
            status = stop.code
    return status, out.getvalue(), err.getvalue()


def misspelt(names):
    """These names, and what becomes of them when one character is another, or missing, or two."""
    edits = st.tuples(st.sampled_from(names), st.integers(0, 20), st.sampled_from(["", "_", "x", "é", " ", "=", "\0"]))
    return st.sampled_from(names) | edits.map(lambda edit: edit[0][:edit[1]] + edit[2] + edit[0][edit[1] + 1:])


numbers = st.sampled_from(NUMBERS) | st.floats().map(repr) | st.integers(-9, 9).map(str) | st.text(max_size=3)
vary_texts = st.builds("{}{}{}{}{}".format, misspelt(["rotation", "x", "µ"]), st.sampled_from("==== :"),
                       misspelt(["uniform", "choice"]), st.sampled_from("::::,="),
                       st.lists(numbers, max_size=4).map(",".join))
values = (numbers | st.sampled_from(VALUES) | st.lists(numbers, max_size=4).map(",".join) | vary_texts
          | st.lists(vary_texts, max_size=3).map(";".join))
set_texts = st.builds("{}={}".format, misspelt(NAMES), values) | st.text()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=9)
    | st.sampled_from([ABSURD, 2**63, -10**30, 10**400, "rotation=uniform:0,1", "float64", "\ud800", *NAMES]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner))


@st.composite
def mutated(draw, data):
    """Bytes with one to four mistakes."""
    for _ in range(draw(st.integers(1, 4))):
        at, new = draw(st.integers(0, max(len(data) - 1, 0))), draw(st.binary(max_size=6) | st.just(b"\x00"))
        data = draw(st.sampled_from([
            data[:at], data[:at] + bytes(b ^ 1 << len(new) for b in data[at:at + 1]) + data[at + 1:],
            data[:at] + new + data[at:], data[:at] + new + data[at + len(new):], data[:at] + data[at + 40:],
            data[:at] + data[at:at + 40] + data[at:], data + new, data.replace(b"\n", new, 1)]))
    return data


def encoded(text):
    return text.encode("utf-8", "surrogatepass")


@st.composite
def replaced(draw, fields):
    """A JSON object in which one thing, at any depth, is another JSON value, or missing, or everything is."""
    fields = here = json.loads(json.dumps(fields))
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = draw(st.sampled_from(keys))
        if isinstance(here[key], (dict, list)) and here[key] and draw(st.booleans()):
            here = here[key]
            continue
        match draw(st.integers(0, 9)):
            case 0:
                del here[key]
            case 1:
                return draw(json_values)
            case _:
                here[key] = draw(json_values)
        return fields


@settings(max_examples=600)
@given(set_texts)
@example("hidden=" + "1," * 10**5)
@example("=")
def test_set_gives_a_configuration_or_a_value_error(text):
    with promptly():
        try:
            name, value = parse_setting(text)
            config = dataclasses.replace(TINY, **{name: value})
        except ValueError as error:
            assert str(error)
            return
        assert from_json(json.loads(json.dumps(dataclasses.asdict(config)))) == config


@settings(max_examples=300)
@given(vary_texts | st.text())
@example("x=uniform:-1e308,1e308")
@example("x=choice:" + "1," * 10**5 + "1")
def test_a_distribution_that_is_accepted_can_be_drawn_from(text):
    with promptly():
        try:
            part = parse(text)
        except ValueError as error:
            assert str(error).startswith("vary: expected") and repr(text) in str(error)
            return
        low, high = (part.low, part.high) if isinstance(part, Uniform) else (min(part.values), max(part.values))
        drawn = [task[part.name] for task in sample_tasks([part], np.random.default_rng(0), 5)]
        assert all(low <= x <= high for x in [*drawn, *part.grid(5)])


def absurd(config):
    return max(config.num_tasks, config.num_trajectories, config.horizon, *config.hidden, *config.laf_hidden,
               0) >= ABSURD


def affordable(config):
    """Whether a valid configuration is done at once, or else asks at once for more memory than there can be."""
    sizes = (config.num_tasks, config.num_trajectories, config.horizon, *config.hidden, *config.laf_hidden)
    return (max(config.iterations, config.outer_steps, config.adapt_steps, len(sizes)) <= 20
            and all(size <= 100 or size >= ABSURD for size in sizes))


@settings(max_examples=240)
@given(set_texts)
@example("--")
@example("num_trajectories=" + "9" * 20)
@example("env=.x:Y-v0")
@example("vary=rotation=uniform:-1e308,1e308")
@example("action_scale=1,2.65e38")  # of which 1.3 is not finite
def test_a_command_line_trains_or_says_what_is_wrong_and_writes_nothing(text):
    tiny = dict(num_tasks=2, num_trajectories=2, hidden=4, laf_hidden=4, iterations=1)
    options = ["train", "--preset", "point/norml", *(f"--set={name}={value}" for name, value in tiny.items())]
    try:
        config = dataclasses.replace(TINY, **{"iterations": 1, **dict([parse_setting(text)])})
    except ValueError:
        config = None
    if config is not None and not affordable(config):
        return
    with directory({}) as folder:
        status, out, err = run_main(*options, f"--set={text}", "--out", folder / "run")
        told = [line for line in err.splitlines() if line.startswith("minorml: ")
                and "lie outside" not in line and "held-out logs, which" not in line]
        assert "Traceback" not in err and len(err.splitlines()) <= 4
        if config is None:
            assert status == 2
        if status == 0:
            assert not told and out and len(Run(folder / "run").metrics()) == config.iterations
        else:
            assert len(told) == 1 and not out
            assert status in (2, 3) or (status == 1 and absurd(config))  # 1: there is no such memory
        if status == 2:
            assert not (folder / "run").exists()


config_texts = st.text() | st.deferred(lambda: replaced(json.loads(sample().files["config.json"])).map(json.dumps))


@settings(max_examples=440)
@given(st.deferred(lambda: mutated(sample().files["config.json"])) | config_texts.map(encoded))
@example(b"[" * 10**5)
def test_config_json_is_a_configuration_or_a_run_error(data):
    with directory({"config.json": data}) as path:
        before = contents(path)
        with promptly():
            try:
                assert isinstance(Run(path).config, Config)
            except RunError as error:
                assert str(error).startswith(f"{path}/config.json: ")
        assert contents(path) == before


metrics_texts = st.text() | st.sampled_from(["", "\x00", "\n" * 50, ",".join(METRICS), "a\r\n" + "1" * 200000, '"' * 9])


@settings(max_examples=400)
@given(st.deferred(lambda: mutated(sample().files["metrics.csv"])) | metrics_texts.map(encoded), st.booleans())
def test_metrics_are_numbers_or_a_run_error_and_a_run_is_resumed_with_all_its_rows_or_left_alone(data, resume):
    files = {**sample().files, "metrics.csv": data}
    with directory(files) as path, promptly():
        try:
            rows = Run(path).metrics()
            assert all(list(row) == list(METRICS) and all(type(x) is float for x in row.values()) for row in rows)
        except RunError as error:
            assert str(error).startswith(f"{path}/metrics.csv: ")
        assert contents(path) == files
        if not resume:
            return
        with closing(Run.reopen(path, TINY)) as run:
            run._metrics = io.StringIO()  # to be closed where `restore` does not come so far as to open it
            try:
                assert run.restore(sample().template).iteration == len(run.metrics()) == 3
            except RunError as error:
                assert str(error).startswith(f"{path}/metrics.csv: ")
                assert contents(path) == files
