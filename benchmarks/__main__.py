"""`python -m benchmarks [NAME …]`: all benchmarks, or those named, as one Markdown page on stdout.

    python -m benchmarks --quick                       the main rows against JAX, in two minutes
    python -m benchmarks --json now.json               keep what is measured, too
    python -m benchmarks --quick --compare now.json    … and compare it with what an earlier run or another commit gave
    python -m benchmarks --page a.json b.json          no measurement: one page of those kept, by processor
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks import act, floors, gradcheck, kernels, memory, peers, phases, sampling, scaling, workers
from benchmarks.page import Page, compare, draw, heading, load, markdown
from minorml.runs.machine import commit, versions

ALL = {"peers": peers.main, "phases": phases.main, "floors": floors.main, "kernels": kernels.main,
       "scaling": scaling.main, "sampling": sampling.main, "memory": memory.main, "workers": workers.main,
       "act": act.main, "gradcheck": gradcheck.main}
SETTINGS = "OMP_", "OPENBLAS_", "MKL_", "BLIS_", "GOTO_", "VECLIB_", "NUMBA_", "XLA_", "MALLOC_", "NPY_"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer turns; without names: `peers` alone")
    parser.add_argument("--json", metavar="FILE", help="keep the measurements here, beside those there already")
    parser.add_argument("--compare", metavar="FILE", help="kept measurements to compare these with")
    parser.add_argument("--plot", metavar="FILE", help="draw the ratios to peers here (.png, .svg, .pdf)")
    parser.add_argument("--page", nargs="+", metavar="FILE", help="print kept measurements as one page")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in ALL]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(ALL)}")
    for path in (given.json, given.plot):
        if path and not Path(path).absolute().parent.is_dir():
            parser.error(f"{path}: its folder does not exist")
    if given.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install 'minorml[plot]'")
    try:
        if given.page:
            sys.stdout.write(markdown([load(path) for path in given.page]))
            return
        before = load(given.compare) if given.compare else None
        if given.json and Path(given.json).exists():
            load(given.json)
    except ValueError as error:
        parser.error(str(error))
    page = Page(facts(), given.quick)
    print(heading(page.facts) + "\n")
    names = given.names or (["peers"] if given.quick else list(ALL))
    for i, name in enumerate(names):
        page.say(f"{name} ({i + 1} of {len(names)})")
        ALL[name](page)
        if given.json:
            page.save(given.json)  # after each, so that little is lost
    print()
    if before:
        compare(before, page)
    if given.plot:
        draw(page, given.plot)


def facts():
    """The machine, the versions, and the settings of the environment that change what is measured."""
    settings = {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)}
    return {"commit": commit(), **versions(), "settings": settings}


if __name__ == "__main__":  # workers import this module too
    main()
