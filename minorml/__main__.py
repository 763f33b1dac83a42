"""The command line: `python -m minorml list | train | sweep | evaluate | plot | report | …`, or `minorml`.

Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 something outside failed (a worker, the
disk; what was saved stays), 2 wrong input (nothing was written), 3 a number was not finite, 130 or 143 stopped by
SIGINT or SIGTERM.
"""

import argparse
import sys

from .commands import adapting, showing, training
from .parallel.signals import Stopped
from .parallel.workers import WorkerError


def parser():
    p = argparse.ArgumentParser(prog="minorml", description="Meta-reinforcement learning that adapts without rewards.")
    verbs = p.add_subparsers(dest="verb", required=True)
    for group in training, adapting, showing:
        group.add(verbs)
    return p


def main(argv=None):
    for stream in sys.stdout, sys.stderr:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that has no ψ gets a question mark
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except FloatingPointError as error:
        print(f"minorml: stopped: {error}", file=sys.stderr)
        return 3
    except (ValueError, ImportError, OverflowError) as error:
        print(f"minorml: {error}", file=sys.stderr)
        return 2
    except (WorkerError, OSError, MemoryError) as error:
        print(f"minorml: failed: {error}; what was saved before stays", file=sys.stderr)
        return 1
    except Stopped as stopped:
        how = "the same command goes" if args.verb == "sweep" else "--resume goes"
        print(f"minorml: stopped by {stopped}; {how} on from the last finished iteration", file=sys.stderr)
        return 128 + stopped.signum
    except KeyboardInterrupt:
        print("minorml: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
