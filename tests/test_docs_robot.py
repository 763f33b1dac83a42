"""The page for a robot's owner, followed from start to end: its commands and its code run as they stand, in order."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

import minorml
from minorml.__main__ import main

PAGE = Path(__file__).resolve().parent.parent / "docs/robot.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """(What each command printed, by its verb; the names that the code defined), with 60 iterations of training."""
    folder, said, names = tmp_path_factory.mktemp("page"), {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, code in re.findall(r"^```(sh|python)\n(.*?)^```$", TEXT, re.M | re.S):
            if language == "python":
                exec(compile(code, str(PAGE), "exec"), names)
                continue
            for line in code.splitlines():
                words = shlex.split(line)[1:]
                if words[0] == "train":
                    words[words.index("--iterations") + 1] = "60"
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    assert main(words) == 0, line
                said.setdefault(words[0], []).append(out.getvalue())
    return said, names


def test_the_page_can_be_followed(followed):
    said, names = followed
    assert set(said) == {"train", "export", "collect", "adapt"} and len(said["adapt"]) == 2
    assert names["adapted"].report.fits and isinstance(names["recording"], minorml.Recording)
    first, last = (float(re.search("mean return (.*)", text).group(1)) for text in said["collect"])
    assert last > first / 2


def test_the_report_is_as_on_the_page(followed):
    """The names of its lines, in their order."""
    shown = re.search(r"^```text\n(  log .*?)^```$", TEXT, re.M | re.S).group(1).splitlines()
    told = followed[0]["adapt"][0].splitlines()
    assert [line[:16] for line in shown if "…" not in line[:4]] == [line[:16] for line in told][:len(shown) - 1]
    explained = re.findall(r"^\| ([a-zσ, ]+) \|", TEXT, re.M)[1:]
    named = {name for line in explained for name in line.split(", ")} - {"clipping"}
    assert named == {line[2:16].strip() for line in told if line.startswith("  ")}
