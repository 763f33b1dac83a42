"""Progress of long work on stderr: a bar on a terminal, elsewhere one plain line now and then."""

import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15


def say(text):
    """A line for people, on stderr."""
    print(f"minorml: {text}", file=sys.stderr)


class Progress:
    """Use as a context manager; call `update` after each piece of work."""

    def __init__(self, total, done=0, label="", enabled=True):
        self.total, self.done, self.label = total, done, label
        self.start = self.last = time.monotonic()
        self.started_at = done
        self.is_first = True
        self.enabled = enabled
        terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, desc=label, unit="it", dynamic_ncols=True) if (
            enabled and terminal) else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()

    def update(self, done=None, **numbers):
        """One more is done, or `done` of them altogether; `numbers` are shown beside."""
        step = (self.done + 1 if done is None else done) - self.done
        self.done += step
        if not self.enabled:
            return
        shown = {name: f"{value:.3g}" for name, value in numbers.items()}
        if self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update(step)
            return
        now = time.monotonic()
        if now - self.last >= SECONDS_BETWEEN_LINES or (self.done == self.total and step):
            self.last = now
            rate = (self.done - self.started_at) / max(now - self.start, 1e-9)
            facts = " ".join(f"{name}={value}" for name, value in shown.items())
            left = f"{(self.total - self.done) / rate:.0f}" if rate and not self.is_first else "?"
            left = "0" if self.done == self.total else left
            print(f"{self.label} {self.done}/{self.total} {rate:.3g} it/s, {left} s left {facts}",
                  file=sys.stderr, flush=True)
        if self.is_first and step:  # it may have compiled: the time left is estimated from the others
            self.start, self.started_at, self.is_first = now, self.done, False
