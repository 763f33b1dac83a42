"""The page on export: its code runs as it stands, and C, ONNX and NumPy print the same actions."""

import contextlib
import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import minorml

PAGE = Path(__file__).resolve().parent.parent / "docs/export.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The numbers that each block prints, in the order of the page."""
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra `onnx`")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is on this machine")
    folder, names, outputs = tmp_path_factory.mktemp("page"), {}, []
    minorml.train("point/norml", folder / "runs/a", iterations=1, num_tasks=1, num_trajectories=2, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, code in BLOCKS:
            out = io.StringIO()
            if language == "python":
                with contextlib.redirect_stdout(out):
                    exec(compile(code, str(PAGE), "exec"), names)
            elif language == "c":
                Path("main.c").write_text(code)
            else:
                done = subprocess.run(["sh", "-e"], input=code, stdout=subprocess.PIPE, text=True, check=True)
                out.write(done.stdout)
            outputs.append([float(x) for x in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", out.getvalue())])
    return [numbers for numbers in outputs if numbers]


def test_c_and_onnx_print_the_same_actions(printed):
    c, onnx, _ = printed
    assert len(c) == 4 and abs(c[2] - c[0]) > 0.1  # the noise is there
    np.testing.assert_allclose(c, onnx, atol=1e-6)


def test_numpy_prints_the_mean_action(printed):
    c, _, arrays = printed
    np.testing.assert_allclose(arrays, c[:2], atol=1e-6)


def test_the_page_shows_all_three_languages():
    assert [language for language, _ in BLOCKS] == ["python", "c", "sh", "python", "python"]


def test_files_that_the_page_links_to_are_there():
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(links) >= 2 and all((PAGE.parent / link).is_file() for link in links)
