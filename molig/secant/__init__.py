"""Secant slopes: the change of a score between two points, shared out among the features."""

from molig.secant.trail import Panels, Shares, Trail
from molig.secant.weave import SecantNetwork

__all__ = ["Panels", "SecantNetwork", "Shares", "Trail"]
