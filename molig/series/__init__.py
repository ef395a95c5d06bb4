"""Series of molecules: pairs compared, drawings aligned, parts summed up, and edits that move a score."""

from molig.series.alignment import Alignment, aligned
from molig.series.comparison import Comparison, Comparisons, Pair, compare, compare_all
from molig.series.edits import Direction, Edit, Edits, find_edits, find_edits_of_all_tasks
from molig.series.matching import Overlap, matched_pair
from molig.series.parts import Divided, Part, PartSums, ScoredAtoms, divider
from molig.series.rgroups import RGroups

__all__ = [
    "Alignment",
    "Comparison",
    "Comparisons",
    "Direction",
    "Divided",
    "Edit",
    "Edits",
    "Overlap",
    "Pair",
    "Part",
    "PartSums",
    "RGroups",
    "ScoredAtoms",
    "aligned",
    "compare",
    "compare_all",
    "divider",
    "find_edits",
    "find_edits_of_all_tasks",
    "matched_pair",
]
