"""Training: from a table of molecules and labels to a model directory."""

from molig.training.recipe import (
    LabelledTable,
    Recipe,
    bundled_recipes,
    parse_recipe,
    read_recipe,
    write_recipe,
)
from molig.training.run import Progress, TrainingRequest, train_model

__all__ = [
    "LabelledTable",
    "Progress",
    "Recipe",
    "TrainingRequest",
    "bundled_recipes",
    "parse_recipe",
    "read_recipe",
    "train_model",
    "write_recipe",
]
