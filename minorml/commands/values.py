"""Values on the command line: text that is a number in a range, or an error that says which."""

import argparse
from pathlib import Path

from ..deployment.export import WRITERS


def seeds(text):
    """`0-9,12` → [0, …, 9, 12]"""
    try:
        ends = [part.partition("-") for part in text.split(",")]
        ranges = [range(int(first), int(last or first) + 1) for first, _, last in ends]
    except ValueError:
        ranges = []
    if not ranges or any(not 0 <= one.start < one.stop <= one.start + 10_000 for one in ranges):
        raise argparse.ArgumentTypeError(f"expected seeds such as 0-9 or 0,3,7, 10,000 at once at most; given {text!r}")
    return list(dict.fromkeys(seed for one in ranges for seed in one))


def log_file(text):
    return _ends_in([".npz"], text)


def policy_file(text):
    return _ends_in(WRITERS, text)


def _ends_in(suffixes, text):
    if Path(text).suffix not in suffixes:
        raise argparse.ArgumentTypeError(f"expected a file that ends in {' or '.join(suffixes)}; given {text}")
    return Path(text)


def folder(text):
    if Path(text).suffix in (".png", ".svg", ".pdf", ".md", ".gif") and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, in which several files are written; given {text}")
    return Path(text)


def names(text):
    """`x,theta` → ["x", "theta"]"""
    return [name.strip() for name in text.split(",")]


def positive(text):
    return _at_least(1, text)


def not_negative(text):
    return _at_least(0, text)


def _at_least(least, text):
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected {least} or more; given {text}")
    return int(text)
