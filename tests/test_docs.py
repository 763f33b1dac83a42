"""What pages say about the program is true of it: commands, options, columns, links, and code in Python that runs."""

import contextlib
import functools
import io
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gymnasium
import pytest

import minorml
from minorml.__main__ import main, parser
from minorml.runs.directory import METRICS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("**/*.md"),
                *(ROOT / "results").glob("**/*.md")])
SHORT = dict(iterations=1, num_tasks=2, num_trajectories=3, horizon=5)  # for what is run here

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def text(page):
    return page.read_text(encoding="utf-8")


def commands(page):
    """Command lines of minorml on a page, as lists of words. A line that ends in a backslash goes on."""
    joined = re.sub(r"\\\n\s*", "", text(page))
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", joined, re.M | re.S)
    lines = re.findall(r"^ {4}(.*)$", joined, re.M) + [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if re.match(r"minorml [a-z]", line)]


def anchors(page):
    """The names that GitHub and the book give to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text(page), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text(page), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        target, _, anchor = link.partition("#")
        if "://" in target or target.startswith(("mailto:", "gallery/")):  # the gallery is made with the book
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), link
        assert not anchor or there.suffix != ".md" or anchor in anchors(there), link


@each_page
def test_commands_are_understood(page):
    for words in commands(page):
        try:
            parser().parse_args(words)
        except SystemExit as refused:
            pytest.fail(f"{page.name}: minorml {shlex.join(words)}: exit status {refused}")


@functools.cache
def equations():
    """Equation numbers, such as meta.2, that a docstring of the code or a formula of a comment defines."""
    pattern = re.compile(r"\S.*\s{2,}\(([a-z_]+\.\d+)\)$", re.M)
    return {number for folder in ("minorml", "envs") for path in (ROOT / folder).rglob("*.py")
            for number in pattern.findall(text(path)) if number.startswith(path.stem)}


@pytest.mark.parametrize("path", [*PAGES, *sorted((ROOT / "tests").glob("*.py"))], ids=lambda path: path.name)
def test_equations_that_pages_and_tests_cite_are_in_the_code(path):
    numbers = equations()
    stems = "|".join({number.partition(".")[0] for number in numbers})
    cited = re.findall(rf"\(((?:{stems})\.\d+)\)", text(path))
    assert not set(cited) - numbers


@pytest.mark.parametrize("paths", [PAGES, [*(ROOT / "tests").glob("*.py")]], ids=["page", "test"])
def test_every_equation_is_on_a_page_and_in_a_test(paths):
    """Those of `gradcheck` are for who reads its code."""
    numbers = {number for number in equations() if not number.startswith(("derivatives.", "differences.", "problems."))}
    cited = {number for path in paths for number in re.findall(r"\(([a-z_]+\.\d+)\)", text(path))}
    assert len(numbers) > 30 and not numbers - cited


def test_targets_of_make_exist():
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.M))
    named = {name for page in PAGES for name in re.findall(r"^ {4}make ([a-z-]+)", text(page), re.M)}
    assert {"demo", "test"} <= named <= targets


def test_every_column_of_the_metrics_is_explained():
    assert tuple(re.findall(r"^\| `(\w+)` \|", text(ROOT / "docs" / "metrics.md"), re.M)) == METRICS


@pytest.fixture
def shortened(tmp_path, monkeypatch):
    """Here, in a folder of its own, training takes a moment, whatever was asked for."""
    monkeypatch.chdir(tmp_path)
    original = minorml.train

    @functools.wraps(original)
    def train(config, out=None, **fields):
        return original(config, out, **fields | SHORT | {"overwrite": True, "progress": False})

    monkeypatch.setattr(minorml, "train", train)
    monkeypatch.setattr("minorml.commands.training.train", train)


@pytest.mark.parametrize("name", ["docs/quick-start.md", "docs/environments.md"])
def test_commands_of_guides_run(name, shortened):
    for words in commands(ROOT / name):
        if words[0] == "plot":
            pytest.importorskip("matplotlib", reason="plots need the extra `plot`")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert main(words) == 0
        assert said.getvalue()


class MyRobot(gymnasium.Wrapper):
    """Somebody's robot, for docs/environments.md: Gymnasium's pendulum, with friction."""

    friction = 0.0

    def __init__(self):
        super().__init__(gymnasium.make("Pendulum-v1"))

    def step(self, action):
        return super().step(action * (1 - self.friction))


@pytest.mark.parametrize("name", ["README.md", "docs/quick-start.md", "docs/using.md", "docs/environments.md"])
def test_python_of_guides_runs(name, shortened):
    code = re.findall(r"```python\n(.*?)```", text(ROOT / name), re.S)
    assert code
    names = {"MyRobot": MyRobot}
    for block in code:
        exec(compile(block, name, "exec"), names)


def test_the_page_on_workers_runs(shortened):
    """Its commands, on a Dask cluster of this machine; its Python, with threads for the processes of MPI."""
    distributed = pytest.importorskip("distributed", reason="optional extra `cluster`")
    page = ROOT / "docs/workers.md"
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        for words in commands(page):
            words = [cluster.scheduler_address if word.startswith("tcp://") else word for word in words]
            with contextlib.redirect_stdout(io.StringIO()):
                assert main(words) == 0, words
    code, = re.findall(r"```python\n(.*?)```", text(page), re.S)
    exec(compile(code, page.name, "exec"), {"minorml": minorml, "MPIPoolExecutor": ThreadPoolExecutor})


def test_the_page_on_runs_shows_what_replay_prints(shortened):
    """A run that fails as the one on the page: the same quantities, in the same order."""
    page = text(ROOT / "docs/runs.md")
    failed = dict(num_tasks=2, num_trajectories=3, inner_rate=1e30, iterations=1, progress=False)
    with pytest.raises(FloatingPointError, match="minorml replay runs/a/failures/iteration-000001.npz"):
        train_as_it_is("point/norml", "runs/a", **failed)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["replay", "runs/a/failures/iteration-000001.npz"]) == 0
    shown = re.findall(r"^ {4}(?:task 0 \(\S+\)|first not finite:) *(\S+(?: \S+)*?)(?:  |, task|$)", page, re.M)
    told = said.getvalue()
    assert len(shown) == 4 and all(quantity in told for quantity in shown), (shown, told)


train_as_it_is = minorml.train  # before a test shortens it
