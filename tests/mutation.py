"""`make mutation`: cosmic-ray over the mathematics, and the share of its mutants that the tests catch.

    python tests/mutation.py CONFIGURATION.toml …

Each run works on a copy in build/mutation/, without the JIT unless its test command turns it on, so that the formulas
themselves are run. A run that was stopped goes on where it was; `make clean` begins anew. The share that was caught is
printed, and each survivor that `tests/mutation-survivors.toml` does not explain; if there is one, the exit status is 1.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTCOMES = """select test_outcome, module_path, start_pos_row, definition_name, operator_name, diff
              from mutation_specs join work_results using (job_id) where worker_outcome != 'SKIPPED'"""


def main(configurations):
    unexplained = 0
    for configuration in configurations:
        folder = ROOT / "build/mutation" / Path(configuration).stem
        session = folder / "session.sqlite"
        environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(folder),
                                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

        def run(*command):
            subprocess.run([*map(str, command)], cwd=folder, env=environment, check=True)  # noqa: B023 (called at once)

        if not session.exists():
            shutil.rmtree(folder, ignore_errors=True)
            for name in "minorml", "envs", "tests":
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "setup.cfg", folder)
            run("cosmic-ray", "init", configuration, session)
            run("cr-filter-operators", session, configuration)
        run("cosmic-ray", "exec", configuration, session)
        unexplained += print_outcomes(configuration, session)
    return min(unexplained, 1)


def print_outcomes(name, session):
    """The share that was caught, and what survived unexplained → how many those are."""
    with sqlite3.connect(session) as database:
        rows = database.execute(OUTCOMES).fetchall()
    survivors = sorted(row[1:] for row in rows if row[0] == "SURVIVED")
    why = reasons()
    unexplained = [survivor for survivor in survivors if (survivor[0], changed_to(survivor[-1])) not in why]
    print(f"{name}: {len(rows) - len(survivors)} of {len(rows)} mutants caught "
          f"({1 - len(survivors) / max(1, len(rows)):.1%}), {len(survivors) - len(unexplained)} survivors explained, "
          f"{len(unexplained)} not")
    for module, line, definition, operator, diff in unexplained:
        print(f"\n{module}:{line} {definition} ({operator.removeprefix('core/')})", *changes(diff), sep="\n    ")
    return len(unexplained)


def reasons():
    """{(module, the line as it was changed): why no test can or need tell it from the line as it is}"""
    entries = tomllib.loads((ROOT / "tests/mutation-survivors.toml").read_text())["survivors"]
    return {(entry["module"], line): entry["why"] for entry in entries for line in entry["lines"]}


def changed_to(diff):
    return next(text[1:].strip() for text in changes(diff) if text[0] == "+")


def changes(diff):
    return [text for text in diff.splitlines() if text[:1] in "+-" and text[:3] not in ("+++", "---")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
