"""`python -m benchmarks [NAME …]`: all benchmarks, or those named, as one Markdown page on stdout."""

import argparse

from threadpoolctl import threadpool_info

from benchmarks import act, floors, gradcheck, kernels, memory, peers, phases, sampling, scaling, workers
from minorml.runs.machine import commit, versions

ALL = {"kernels": kernels.main, "phases": phases.main, "sampling": sampling.main, "memory": memory.main,
       "workers": workers.main, "scaling": scaling.main, "floors": floors.main, "act": act.main,
       "gradcheck": gradcheck.main, "peers": peers.main}

if __name__ == "__main__":  # workers import this module too
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*ALL, []], help="all of them by default")
    facts = versions()
    print(f"Commit {commit() or 'unknown'}; {facts['processor']}, {facts['cpus']} CPUs; Python {facts['python']}, "
          + ", ".join(f"{name} {version}" for name, version in facts["packages"].items() if version)
          + f"; BLAS: {', '.join(facts['blas'])}, "
          + f"threads: {max(lib['num_threads'] for lib in threadpool_info())} if not said otherwise\n")
    for name in parser.parse_args().names or ALL:
        ALL[name]()
