"""The package as users get it: built, installed without the checkout, and run in another folder; and its types."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import tarfile
import typing
from pathlib import Path

import pytest

import minorml

ROOT = Path(__file__).resolve().parent.parent
SOURCES = "minorml", "envs", "benchmarks", "tests", "docs", "results"
FILES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "Makefile", "README.md", "LICENSE", "CHANGELOG.md",
         "CITATION.cff", "CONTRIBUTING.md", "setup.py")

TRAIN = """
import sys, minorml
minorml.train("point/norml", "run", iterations=1, num_tasks=2, progress=False)
print(*(module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)), sep="\\n")
"""


def run(command, folder, **environment):
    """Its standard output; the test fails with all that it said if it fails."""
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of an sdist made from a copy of the sources, and of a wheel made from that sdist alone."""
    folder = tmp_path_factory.mktemp("built")
    copy = folder / "sources"
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "_build", "*.csv"))
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder], copy)
    return folder


@pytest.fixture(scope="module")
def installed(built):
    """A folder into which the wheel is installed, without its dependencies (the tests have them)."""
    wheel, = built.glob("*.whl")
    target = built / "installed"
    run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel], built)
    return target


def test_links_of_the_page_on_an_index_work_there(installed):
    """Those into the repository are texts; those to other places are left."""
    metadata, = installed.glob("*.dist-info/METADATA")
    page = metadata.read_text(encoding="utf-8").partition("\n\n")[2]
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert page.lstrip().startswith("# minorml") and links and all(link.startswith("https://") for link in links)
    assert "Your own environment" in page


def test_the_installed_package_works_in_another_folder(installed, tmp_path):
    def there(*command):
        return run(command, tmp_path, PYTHONPATH=str(installed), NUMBA_DISABLE_JIT="1")

    program = installed / "bin" / "minorml"
    assert there(program, "--version") == f"minorml {minorml.__version__}\n"
    assert "point/norml" in there(program, "list")
    loaded = there(sys.executable, "-c", TRAIN).split("\n")
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2  # the names, and one iteration
    assert any(Path(path).is_relative_to(installed) for path in loaded)
    from_checkout = [path for path in loaded if any(Path(path).is_relative_to(ROOT / name) for name in SOURCES)]
    assert not from_checkout


def test_the_wheel_says_that_it_has_types_and_a_license(installed):
    assert (installed / "minorml" / "py.typed").exists()
    metadata, = installed.glob("minorml-*.dist-info")
    assert "License: MIT" in (metadata / "METADATA").read_text().splitlines()
    assert list(metadata.rglob("LICENSE"))


def test_the_sdist_has_its_tests_and_the_book(built):
    sdist, = built.glob("*.tar.gz")
    names = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    assert {"LICENSE", "CITATION.cff", "tests/test_meta.py", "docs/conf.py", "docs/_static/book.css",
            "results/README.md", "results/point/point-trajectories.png", "benchmarks/__main__.py"} <= names
    assert not any(name.startswith(("docs/_build", "runs", ".")) for name in names)


def test_version_is_the_same_everywhere():
    assert f"\nversion: {minorml.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {minorml.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def public_functions():
    """Each public function, and the constructor and public methods of each public class."""
    for name in minorml.__all__:
        thing = getattr(minorml, name)
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing):
            own = [(key, value) for key, value in vars(thing).items() if inspect.isfunction(value)]
            yield from ((f"{name}.{key}", value) for key, value in own if key == "__init__" or key[0] != "_")


@pytest.mark.parametrize("name, function", [pytest.param(*one, id=one[0]) for one in public_functions()])
def test_public_functions_have_types(name, function):
    known = typing.get_type_hints(function)  # and their names are found
    expected = [one for one in inspect.signature(function).parameters if one != "self"]
    missing = [one for one in expected + ["return"] * (not name.endswith("__init__")) if one not in known]
    assert not missing
