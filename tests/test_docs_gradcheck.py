"""The page on checking derivatives: its code runs as it stands, block after block, and its script draws."""

import importlib.util
import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (DOCS / "gradcheck.md").read_text(encoding="utf-8"),
                    re.MULTILINE | re.DOTALL)
OPTIONAL = ["statsmodels", "jax", "torch"]


def imported(code):
    """The optional package that a block needs, or None."""
    return next((name for name in OPTIONAL if f"import {name}" in code), None)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_runs(number, tmp_path, monkeypatch):
    """After the first, which has the imports."""
    package = imported(BLOCKS[number])
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; `make test-oracle` installs statsmodels and jax")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in dict.fromkeys([BLOCKS[0], BLOCKS[number]]):
        exec(compile(code, "gradcheck.md", "exec"), names)
    assert Path("report.png").stat().st_size > 10_000


def test_the_page_has_an_example_of_each_optional_package():
    assert [imported(code) for code in BLOCKS if imported(code)] == OPTIONAL


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `plot`")
    names = runpy.run_path(str(DOCS / "examples/gradcheck.py"))
    names["main"](tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_the_report_that_the_page_shows_is_the_one_that_is_printed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[0], "gradcheck.md", "exec"), {})
    page = (DOCS / "gradcheck.md").read_text(encoding="utf-8")
    shown = [line.strip() for line in page[page.index("    gradient: wrong"):page.index("      …")].splitlines()]
    assert len(shown) == 5 and shown == [line.strip() for line in capsys.readouterr().out.splitlines()[:5]]
