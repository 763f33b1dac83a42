"""Settings that every test runs under, whether or not the project's configuration file is at hand."""

import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import Phase, settings

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parent.parent
FELL = collections.Counter()  # where kills fell that did no harm

# No deadline: the first call of a kernel compiles it. On CI the same examples every time.
settings.register_profile("dev", deadline=None, max_examples=25)
settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, print_blob=True)
# For tests/test_mutations.py: a failing example need not be made small, nor remembered.
settings.register_profile("mutations", deadline=None, max_examples=10, derandomize=True, database=None,
                          phases=[Phase.explicit, Phase.generate])
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=6, metavar="N",
                     help="how often tests/test_kill.py kills a run at a random moment (default 6)")
    parser.addoption("--gradchecks", type=int, default=60, metavar="N",
                     help="how many functions tests/test_gradcheck_thousand.py draws (default 60)")


@pytest.fixture
def gradchecks(request):
    return request.config.getoption("gradchecks")


def pytest_configure(config):
    config.addinivalue_line("markers", "gradients: proves a derivative, or the function that it is the derivative of")
    config.addinivalue_line("markers", "mutations: plants a mistake and shows that the gradient tests catch it")
    # A complex number cast to a real buffer loses its imaginary part, and with it a complex-step derivative.
    config.addinivalue_line("filterwarnings", "error::numpy.exceptions.ComplexWarning")


def pytest_generate_tests(metafunc):
    """The kills are dealt to runs that are killed once, twice or three times."""
    if "kills" in metafunc.fixturenames:
        left, draw, runs = metafunc.config.getoption("kills"), random.Random(0), []
        while left > 0:
            runs.append((len(runs), min(left, draw.randint(1, 3))))
            left -= runs[-1][1]
        metafunc.parametrize("seed, kills", runs)


@pytest.fixture
def tally():
    return FELL


def pytest_terminal_summary(terminalreporter):
    if FELL:
        terminalreporter.write_line(f"{FELL.total()} kills at random moments, to the same bytes: {dict(FELL)}")


class Program:
    """`python -m minorml …` in a process and session of its own; its descendants are told by a mark that they bear."""

    def __init__(self, arguments, script=None):
        self.mark = uuid.uuid4().hex
        self.out, self.err = tempfile.TemporaryFile("a+"), tempfile.TemporaryFile("a+")
        python = [sys.executable, *(("-m", "minorml") if script is None else ("-c", script))]
        self.process = subprocess.Popen(
            [*python, *map(str, arguments)], cwd=ROOT, stdout=self.out, stderr=self.err, start_new_session=True,
            env={**os.environ, "MARK": self.mark},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # it may be ignored here
        self.pid = self.process.pid

    def said(self, file="err"):
        getattr(self, file).seek(0)
        return getattr(self, file).read()

    def living(self, text=b""):
        """Its processes, oldest first: those with `text` on their command line. A zombie is none."""
        return sorted(int(path.name) for path in Path("/proc").glob("[0-9]*")
                      if self.mark.encode() in _read(path / "environ") and text in _read(path / "cmdline"))

    def workers(self):
        return self.living(b"spawn_main")

    def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited in vain; it said: {self.said()}"
            time.sleep(0.002)

    def ended(self):
        return self.process.poll() is not None

    def wait(self):
        """Its exit status, once none of its processes is left."""
        status = self.process.wait(60)
        self.until(lambda: not self.living(), seconds=5)
        return status


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def start():
    """Starts a Program; in the end nothing is left of it."""
    if not _read(Path("/proc/self/environ")):
        pytest.skip("no /proc here to look for processes in")
    started = []

    def begin(arguments, script=None):
        started.append(Program(arguments, script))
        return started[-1]

    yield begin
    for program in started:
        for pid in program.living():
            os.kill(pid, signal.SIGKILL)
        program.process.wait()
