"""Compiled forms of formulas. What they compute is said in NumPy elsewhere, and read there."""
