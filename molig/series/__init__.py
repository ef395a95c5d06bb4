"""Series of molecules: pairs compared, drawings aligned, parts summed up, and edits that move a score."""

from molig.series.alignment import Alignment, aligned
from molig.series.comparison import Comparison, compare
from molig.series.edits import Direction, Edit, Edits, find_edits
from molig.series.matching import Overlap, matched_pair
from molig.series.parts import Divided, Part, PartSums, ScoredAtoms, divider
from molig.series.rgroups import RGroups

__all__ = [
    "Alignment",
    "Comparison",
    "Direction",
    "Divided",
    "Edit",
    "Edits",
    "Overlap",
    "Part",
    "PartSums",
    "RGroups",
    "ScoredAtoms",
    "aligned",
    "compare",
    "divider",
    "find_edits",
    "matched_pair",
]
