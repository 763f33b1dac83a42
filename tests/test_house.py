"""Rules of the house, read off the source: equation tags, reading order, who may import what, and length."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A room imports only what stands before it, and so does a module inside its room. (`gradcheck` stands alone; `__init__`
# gathers them all.)
READING_ORDER = """
    kernels.registry kernels.recurrences kernels.tile kernels.activation kernels.network kernels.surrogate
    kernels.rollout
    mlp gaussian policy advantage surrogate meta methods
    rl.baseline rl.threads rl.foreign rl.rollout rl.adam rl.tasks rl.checks rl.streams rl.config rl.presets rl.problem
    rl.survey
    parallel.adaptation parallel.share parallel.signals parallel.workers
    runs.progress runs.checkpoints runs.failures runs.version runs.machine runs.directory
    deployment.c_source deployment.export deployment.recording deployment.logs deployment.collect deployment.reference
    deployment.adapting deployment.corrections deployment.fit deployment.controller
    experiments.trained experiments.train experiments.finetune experiments.sweep experiments.video
    experiments.statistics experiments.tables experiments.published experiments.plots experiments.gait
    experiments.sections experiments.reproduction experiments.report experiments.adaptation_map
    commands.values commands.training commands.adapting commands.showing __main__
""".split()


def name_of(path):
    """minorml/rl/adam.py → rl.adam; a room's own __init__.py → the room."""
    return ".".join(path.relative_to(ROOT / "minorml").with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted((ROOT / "minorml").rglob("*.py"))}
ROOMS = {name for name, path in MODULES.items() if path.stem == "__init__" and name not in ("__init__", "gradcheck")}
PACKAGE_FILES = sorted([*MODULES.values(), *(ROOT / "envs").rglob("*.py")])
AUTODIFF = {"jax", "torch", "tensorflow", "autograd"}
MAX_LINES = {"meta": 150}

each_module = pytest.mark.parametrize("module", MODULES)
each_file = pytest.mark.parametrize("path", PACKAGE_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")


def source(path):
    return path.read_text(encoding="utf-8")


def tree(path):
    return ast.parse(source(path))


def docstrings(path):
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    return [ast.get_docstring(node) or "" for node in ast.walk(tree(path)) if isinstance(node, documented)]


def imported(path):
    """Names of all that a file imports, anywhere in it, in full: `from .mlp import MLP` is minorml.mlp.MLP."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[:-1]
            start = list(package[:len(package) - node.level + 1]) if node.level else []
            base = ".".join(start + ([node.module] if node.module else []))
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def packages(path):
    return {name.split(".")[0] for name in imported(path)}


def siblings(module):
    """Modules of minorml that a module imports: `minorml.rl.adam.step` and `minorml.rl.adam` are both rl.adam."""
    names = {name.removeprefix("minorml.") for name in imported(MODULES[module]) if name.startswith("minorml.")}
    return {name if name in MODULES else name.rpartition(".")[0] for name in names} & set(MODULES)


def definitions(stem):
    """Numbers of the equations that a module defines: a formula in a docstring, with the tag at the line's end.

    A number may come twice, in the overview at the head and beside the function that computes it.
    """
    pattern = re.compile(rf"\S.*\s{{2,}}\({stem}\.(\d+)\)$", re.MULTILINE)
    return {int(number) for name, path in MODULES.items() if name.split(".")[-1] == stem
            for text in docstrings(path) for number in pattern.findall(text)}


@each_module
def test_equations_are_numbered_without_gaps(module):
    numbers = definitions(module.split(".")[-1])
    assert numbers == set(range(1, len(numbers) + 1))


@each_module
def test_no_citation_dangles(module):
    """Every (module.k), in docstring or comment, is an equation that the module named defines."""
    cited = re.findall(rf"\b({'|'.join(name.split('.')[-1] for name in MODULES)})\.(\d+)\b", source(MODULES[module]))
    dangling = [f"({name}.{number})" for name, number in cited if int(number) not in definitions(name)]
    assert not dangling


def test_equations_are_found_at_all():
    assert all(definitions(module) for module in ("mlp", "gaussian", "surrogate", "meta"))


@each_module
def test_imports_never_run_upward(module):
    if module == "__init__":
        return
    if module in ROOMS:
        assert not siblings(module), "a room's __init__ says what it is for; names are imported from its modules"
        return
    if module.split(".")[0] == "gradcheck":
        assert all(name.split(".")[0] == "gradcheck" for name in siblings(module))
        return
    assert module in READING_ORDER, "give the new module its place in READING_ORDER"
    before = READING_ORDER[:READING_ORDER.index(module)]
    assert siblings(module) <= {*before, "gradcheck"}


def test_every_public_name_is_found_where_the_package_says():
    import minorml

    assert set(minorml.__all__) == set(minorml._HOMES) <= set(dir(minorml))
    assert all(getattr(minorml, name) is not None for name in minorml.__all__)
    assert not hasattr(minorml, "nothing")


def test_gradcheck_alone_loads_nothing_heavy():
    heavy = "numba", "gymnasium", "mujoco", "scipy"
    script = f"import sys, minorml.gradcheck.plugin; assert not {{*sys.modules}} & {{*{heavy}}}, sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_the_package_tells_its_readers_the_same_order():
    told = []
    for line in source(MODULES["__init__"]).splitlines():
        if "→" in line:
            room, _, rest = line.rpartition("/")
            names = [f"{room.strip()}.{name}".lstrip(".") for name in re.findall(r"\w+", rest)]
            told += [name if name in READING_ORDER else name.split(".")[-1] for name in names]
    told = [name for name in told if name in READING_ORDER]
    assert told == [name for name in READING_ORDER if not name.startswith("kernels.")]


@each_file
def test_packages_keep_to_themselves(path):
    """Numba stays in the kernels; minorml and envs do not know each other; every derivative is by hand."""
    names = packages(path)
    assert "numba" not in names or path.parent.name == "kernels"
    assert ("minorml" if path.parent.name == "envs" else "envs") not in names
    assert not names & (AUTODIFF | {"pickle"})


@each_file
def test_no_dangerous_options(path):
    """No unpickling; no compiler option that changes results with the number of threads, or makes NaN vanish."""
    switched_on = {node.arg for node in ast.walk(tree(path)) if isinstance(node, ast.keyword)
                   if not (isinstance(node.value, ast.Constant) and node.value.value is False)}
    assert not switched_on & {"allow_pickle", "parallel"}


@each_file
def test_fast_arithmetic_means_one_rounding_for_two_and_no_more(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.keyword) and node.arg == "fastmath":
            assert ast.literal_eval(node.value) == {"contract"}


@each_file
def test_files_stay_short(path):
    assert len(source(path).splitlines()) <= MAX_LINES.get(path.stem, 320)
