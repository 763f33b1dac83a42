"""The version of this package, which runs and exported files name."""

__version__ = "0.1.0"
