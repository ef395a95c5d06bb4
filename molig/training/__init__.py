"""Training: from a table of molecules and labels to a model directory."""

from molig.training.recipe import (
    Recipe,
    bundled_recipes,
    find_recipe,
    parse_recipe,
    read_recipe,
    write_recipe,
)
from molig.training.run import Progress, TrainingRequest, train_model
from molig.training.tables import LabelledTable, locate_table, read_recipe_and_table

__all__ = [
    "LabelledTable",
    "Progress",
    "Recipe",
    "TrainingRequest",
    "bundled_recipes",
    "find_recipe",
    "locate_table",
    "parse_recipe",
    "read_recipe",
    "read_recipe_and_table",
    "train_model",
    "write_recipe",
]
