"""The command line: `python -m minorml list | train | sweep | evaluate | plot | report | …`, or `minorml`.

Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 something outside failed (a worker, the
disk; what was saved stays), 2 wrong input (nothing was written), 3 a number was not finite, 130 or 143 stopped by
SIGINT or SIGTERM.
"""

import argparse
import os
import sys
import traceback

from .commands import adapting, showing, training
from .parallel.signals import Stopped
from .parallel.workers import WorkerError
from .rl.foreign import EnvironmentFailed
from .runs.version import __version__


def parser():
    p = argparse.ArgumentParser(prog="minorml", description="Meta-reinforcement learning that adapts without rewards.")
    p.add_argument("--version", action="version", version=f"minorml {__version__}")
    verbs = p.add_subparsers(dest="verb", metavar="VERB")
    for group in training, adapting, showing:
        group.add(verbs)
    for verb in verbs.choices.values():
        verb.add_argument("--traceback", action="store_true", help="where an error comes from, line by line")
    return p


def main(argv=None):
    for stream in sys.stdout, sys.stderr:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that has no ψ gets a question mark
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # --env MODULE:ID finds a module that lies here, as for `python -m minorml`
    arguments = parser()
    args = arguments.parse_args(argv)
    if args.verb is None:
        arguments.print_help()
        return 0
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has had enough, as in `minorml list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # as if SIGPIPE had ended it
    except Exception as error:
        if args.traceback:
            traceback.print_exc()
        return _failed(error)
    except Stopped as stopped:
        how = "the same command goes" if args.verb == "sweep" else "--resume goes"
        print(f"minorml: stopped by {stopped}; {how} on from the last finished iteration", file=sys.stderr)
        return 128 + stopped.signum
    except KeyboardInterrupt:
        print("minorml: interrupted", file=sys.stderr)
        return 130
    return 0


def _failed(error):
    """Say what went wrong, in one line, and give the exit status."""
    if isinstance(error, FloatingPointError):
        text, status = f"stopped: {error}", 3
    elif isinstance(error, ValueError | ImportError | OverflowError):
        text, status = str(error), 2
    elif isinstance(error, EnvironmentFailed):
        text, status = f"failed: {error} (--traceback shows where)", 1
    elif isinstance(error, WorkerError | OSError | MemoryError):
        text, status = f"failed: {error}; what was saved before stays", 1
    else:  # in somebody else's code: an environment, a plug-in
        text, status = f"failed: {type(error).__name__}: {error} (--traceback shows where)", 1
    print(f"minorml: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
