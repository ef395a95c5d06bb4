"""Training: from a table of molecules and labels to a model directory."""

from molig.training.recipe import (
    LabelledTable,
    Recipe,
    bundled_recipes,
    find_recipe,
    locate_table,
    parse_recipe,
    read_recipe,
    read_recipe_and_table,
    write_recipe,
)
from molig.training.run import Progress, TrainingRequest, train_model

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
