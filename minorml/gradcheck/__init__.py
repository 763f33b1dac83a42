"""Proofs of derivatives by numbers: for the derivatives of this package, and for your own."""

from .asserts import assert_close, assert_gradient
from .check import check
from .derivatives import (
    TAYLOR_STEPS,
    central_difference,
    complex_step,
    full_gradient,
    relative_error,
    taylor_slopes,
)
from .report import Report

__all__ = ["TAYLOR_STEPS", "Report", "assert_close", "assert_gradient", "central_difference", "check", "complex_step",
           "full_gradient", "relative_error", "taylor_slopes"]
