"""SIGINT and SIGTERM: the first stops after the present iteration, the second at once."""

import os
import signal
import threading
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """Signal `signum` stopped the run; all finished iterations are saved. `at_once` if it was the second signal."""

    def __init__(self, signum: int, at_once: bool = False):
        super().__init__(signal.Signals(signum).name)
        self.signum, self.at_once = signum, at_once


@contextmanager
def first_signal_waits(say=True):
    """Within the context, the first SIGINT or SIGTERM is noted; a second one raises `Stopped` at once.

    Yields a function that raises `Stopped` if a signal has been noted: call it where it is safe to stop. With `say`, a
    line on stderr confirms the first signal. A signal that the process ignores stays ignored. Outside the main thread
    Python handles no signals, and nothing is changed. Processes that are forked within the context, as environments
    may do, leave SIGINT to this one, and end by SIGTERM.
    """
    noted, ours = [], os.getpid()

    def handle(signum, _):
        if os.getpid() != ours:
            if signum == signal.SIGTERM:
                os._exit(128 + signum)
            return
        if noted:
            raise Stopped(signum, at_once=True)
        noted.append(signum)
        if say:
            os.write(2, b"\nminorml: stopping after this iteration; once more to stop at once\n")

    def stop_if_asked():
        if noted:
            raise Stopped(noted[0])

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        before = {s: handler for s, handler in before.items() if handler is not signal.SIG_IGN}
    try:
        for s in before:
            signal.signal(s, handle)
        yield stop_if_asked
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
