"""Secant slopes: the change of a score between two points, shared out among the features."""

from molig.secant.trail import Panels, Shares, Trail, by_rows
from molig.secant.weave import MAX_MODULES, SecantNetwork, entry_matrix

__all__ = ["MAX_MODULES", "Panels", "SecantNetwork", "Shares", "Trail", "by_rows", "entry_matrix"]
