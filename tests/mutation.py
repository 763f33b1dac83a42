"""`make mutation`: cosmic-ray over the mathematics, and the share of its mutants that the tests catch.

    python tests/mutation.py CONFIGURATION.toml …

Each run works on a copy in build/mutation/, without the JIT, so that the formulas themselves are run. A run that was
stopped goes on where it was; `make clean` begins anew. The share that was caught is printed, and each survivor.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTCOMES = """select test_outcome, module_path, start_pos_row, definition_name, operator_name, diff
              from mutation_specs join work_results using (job_id) where worker_outcome != 'SKIPPED'"""


def main(configurations):
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
        print_outcomes(configuration, session)


def print_outcomes(name, session):
    with sqlite3.connect(session) as database:
        rows = database.execute(OUTCOMES).fetchall()
    survivors = sorted(row[1:] for row in rows if row[0] == "SURVIVED")
    print(f"{name}: {len(rows) - len(survivors)} of {len(rows)} mutants caught "
          f"({1 - len(survivors) / max(1, len(rows)):.1%}); survivors:")
    for module, line, definition, operator, diff in survivors:
        changed = [text for text in diff.splitlines() if text[:1] in "+-" and text[:3] not in ("+++", "---")]
        print(f"\n{module}:{line} {definition} ({operator.removeprefix('core/')})", *changed, sep="\n    ")


if __name__ == "__main__":
    main(sys.argv[1:])
