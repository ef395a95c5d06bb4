"""Series of molecules: pairs compared, drawings aligned, parts summed up, and edits that move a score."""

from molig.series.alignment import Alignment
from molig.series.comparison import Comparison, compare
from molig.series.edits import Direction, Edit, Edits, find_edits
from molig.series.matching import Overlap, matched_pair

__all__ = [
    "Alignment",
    "Comparison",
    "Direction",
    "Edit",
    "Edits",
    "Overlap",
    "compare",
    "find_edits",
    "matched_pair",
]
