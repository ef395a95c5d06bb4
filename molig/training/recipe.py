"""Recipes: every choice of a training run, in one TOML file."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, model_validator

from molig.datasets import datasets
from molig.datasets.places import dataset_of, find_dataset
from molig.errors import UnknownNameError, UsageError, called
from molig.features import EnvironmentBlock, FeatureSchema, preset
from molig.files import read_regular
from molig.model import MoleculePolicy, Objective, bundled_models
from molig.molecules.standardize import PARENT_VERSION
from molig.network import NetworkConfig
from molig.network.config import MAX_WIDTH
from molig.training.labels import Cut, label_columns

_LARGEST_RECIPE = 1_000_000
OPTIONS = "options"
"""In the place of a file: the command line, whose options bear the names of the keys."""
_NAMED = 10


class Section(BaseModel):
    """A section of a recipe: unknown keys are refused, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ConflictPolicy(StrEnum):
    """What to do where copies of a molecule have different labels in a task."""

    KEEP = "keep"
    """Every row keeps its label."""

    MAJORITY = "majority"
    """All copies get the commoner label; at a tie the task counts as not measured for them."""

    DROP = "drop"
    """The task counts as not measured for all of them."""


class DataRecipe(Section):
    """Which table; a command line may say otherwise."""

    name: str = ""
    """Name of a public data set (``molig data list``), or empty."""
    file: str = ""
    """Path of a table, seen from the recipe's directory, or empty."""
    targets: tuple[str, ...] = ()
    """Label columns; default those of the data set."""
    smiles_column: str | None = None
    """Where to find the SMILES, if not under a usual name."""
    delimiter: str | None = None
    """What separates the columns of a text table, if that cannot be guessed."""
    conflicts: ConflictPolicy = ConflictPolicy.KEEP
    """What to do where copies of a molecule, by SMILES after standardisation, have different labels."""
    active_above: FiniteFloat | None = None
    """For columns of numbers: this value and higher ones are active, lower ones inactive."""
    active_below: FiniteFloat | None = None
    """For columns of numbers: this value and lower ones are active, higher ones inactive."""

    @property
    def cut(self) -> Cut | None:
        """Where values become classes; None where labels are classes, or values are predicted."""
        if self.active_above is None and self.active_below is None:
            return None
        return Cut(self.active_above, self.active_below)

    @model_validator(mode="after")
    def _has_one_cut(self) -> Self:
        if self.active_above is not None and self.active_below is not None:
            raise ValueError(f"{called('active_above')} and {called('active_below')} exclude each other")
        return self

    @model_validator(mode="after")
    def _names_one_table(self) -> Self:
        if self.name and self.file:
            raise ValueError("data.name and data.file exclude each other")
        return self


class AuxiliaryRecipe(Section):
    """A public data set whose tasks are co-trained; the finished model does not have them."""

    name: str
    """Name of the data set (``molig data list``)."""
    targets: tuple[str, ...] = ()
    """Label columns; default those of the data set."""
    inactives_per_epoch: PositiveInt | None = None
    """Molecules without any active label that an epoch sees, beside all actives. Default all."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.name not in datasets():
            raise ValueError(str(UnknownNameError("data set", self.name, datasets())))
        return self

    def columns(self) -> tuple[str, ...]:
        """Label columns."""
        return self.targets or datasets()[self.name].targets


class EvaluationRecipe(Section):
    """How ``molig evaluate`` judges the recipe."""

    folds: int = Field(default=5, ge=1, le=100)
    """Folds of a cross-validation dealt in the way of ``split.kind``; 1 evaluates the split itself once."""
    seed: int = 0
    """Seed of the folds, of the baselines and of the bootstrap."""
    baselines: tuple[str, ...] = ("all",)
    """Simple methods to run in the same folds; ``all`` of those for the objective."""
    subset_column: str = ""
    """Column of the table that is true (1, yes) for some rows, such as members of activity cliffs: figures
    are also stated of those test molecules alone. Empty for none.
    """


class FeatureRecipe(Section):
    """Which features."""

    preset: Literal["simple", "full"] = "simple"
    """Feature set of the paper."""
    max_pair_distance: PositiveInt | Literal["unlimited"] = 2
    """The y of WxNy."""
    distance: Literal["one-hot", "cumulative"] = "one-hot"
    """Coding of the graph distance."""

    def schema_(self) -> FeatureSchema:
        """The schema that these choices make."""
        limit = None if self.max_pair_distance == "unlimited" else self.max_pair_distance
        return preset(self.preset, max_pair_distance=limit, distance=self.distance)


class SplitKind(StrEnum):
    """How molecules are dealt to training, validation and test."""

    RANDOM = "random"
    STRATIFIED = "stratified"
    SCAFFOLD = "scaffold"
    GIVEN = "given"
    GROUP = "group"
    TIME = "time"


class SplitColumn(NamedTuple):
    """A column of the table that decides about the parts, and how."""

    kind: SplitKind
    name: str


class SplitRecipe(Section):
    """How the table is divided; copies of a molecule stay together unless the table itself parts them."""

    kind: SplitKind = SplitKind.STRATIFIED
    """``stratified`` deals the actives of the rare tasks evenly, or for a regression the tenths of the rare
    tasks' values, ``scaffold`` keeps Murcko scaffolds together, the rare ones in validation and test,
    ``given`` takes the parts that a column of the table names, ``group`` keeps rows together that have the
    same text in a column (a series, a project, a patient), ``time`` takes the latest rows for the test and
    those before them for validation.
    """
    column: str = Field(default="split", min_length=1)
    """For ``given``: column with ``train``, ``validation`` (or ``valid``, ``val``) or ``test`` in every row.
    For ``group``: column with the groups; a row without one is a group of its own. For ``time``: column of
    ISO dates (2024-05-31, 2024-05), years or numbers; rows without one cannot be used. Copies of a molecule
    stay together: they join their groups, and the earliest time counts.
    """
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the molecules. For ``given`` it counts only where the column names no validation rows: that
    share of the training molecules is then drawn for it.
    """
    test: float = Field(default=0.1, ge=0, lt=1)
    """Share of the molecules; without meaning for ``given``. For ``time`` both shares are met as nearly as
    whole times allow: rows of the same date or year are never parted.
    """
    seed: int = 0
    """Seed of the random choice."""
    parts: str = ""
    """CSV with the columns ``row`` (of the table, from 1) and ``part``: the split itself, instead of one that
    is dealt; rows that it leaves out are trained on. Seen from the recipe's directory, or else one that comes
    with molig. ``kind``, ``validation``, ``test`` and ``seed`` then count for the folds of
    ``molig evaluate`` only.
    """

    @property
    def by_column(self) -> SplitColumn | None:
        """The column that decides about the parts; None where the molecules do."""
        of_columns = (SplitKind.GIVEN, SplitKind.GROUP, SplitKind.TIME)
        return SplitColumn(self.kind, self.column) if self.kind in of_columns else None

    @model_validator(mode="after")
    def _names_one_source_of_parts(self) -> Self:
        if self.parts and self.kind is SplitKind.GIVEN:
            raise ValueError(
                'split.parts and split.kind = "given" exclude each other: the parts are those of a file, or '
                "of a column of the table"
            )
        return self

    @model_validator(mode="after")
    def _names_its_column(self) -> Self:
        if self.kind in (SplitKind.GROUP, SplitKind.TIME) and "column" not in self.model_fields_set:
            raise ValueError(
                f'split.kind = "{self.kind.value}" needs a column of the table: name it as split.column '
                f"({called('split_column')})"
            )
        return self

    @model_validator(mode="after")
    def _leaves_molecules_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave molecules for training")
        return self


class StartRecipe(Section):
    """Which weights the training of the Weave network starts from."""

    model: str = ""
    """Name of a bundled model, or directory of another, seen from the recipe's directory, with the same
    features and the same network: its weights, but for those of the last layer. Empty: random ones.
    """
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    """Digest of these weights (``weights_sha256`` in their ``model.json``): others are refused. Empty: any.
    """

    @property
    def directory(self) -> str:
        """The directory that is named; empty for a bundled model, or none."""
        return "" if self.model in bundled_models() else self.model


class NeutralRecipe(Section):
    """The term that keeps the zero baseline neutral."""

    copies: int = Field(default=32, ge=0)
    """Zero-feature copies of training molecules per step; 0 turns the term off."""
    weight: float = Field(default=0.1, ge=0)
    """Weight of the squared distance of their outputs from the target; for a regression in units of the
    standard deviation of the training labels.
    """
    logit: float = -4.6
    """Logit that the zero baseline of a classification is drawn to; -4.6 is a probability of 0.01."""
    value: FiniteFloat | Literal["mean"] = "mean"
    """Value, in the unit of the labels, that the zero baseline of a regression is drawn to: the mean of the
    training labels of each task, or a number for all tasks.
    """


class OptimizationRecipe(Section):
    """How the weights are fitted."""

    epochs: int = Field(default=40, ge=1)
    """Passes over the training molecules; also the length of the learning-rate cycle."""
    batch_size: int = Field(default=96, ge=2)
    """Molecules per step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Peak of the one-cycle schedule of AdamW."""
    warm_up: float = Field(default=0.15, gt=0, lt=1)
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    gradient_clip: float = Field(default=5.0, gt=0)
    """Largest gradient norm."""
    patience: int = Field(default=20, ge=1)
    """Epochs without a better validation score after which training stops."""
    weight_average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights, which is what is judged and kept; 0 keeps the weights of
    the steps themselves.
    """
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights: those of the best validation score, or the last ones. A validation part with a
    handful of actives per task cannot show which epoch is best.
    """
    inactives_per_epoch: PositiveInt | None = None
    """Molecules without any active label that an epoch sees, drawn anew for each, beside all actives. For
    tables where actives are rare. Default all.
    """
    positive_weight: float = Field(default=1.0, ge=0, le=1)
    """Exponent of the ratio of inactives to actives in the weight of an active: 1 lets both classes weigh the
    same, 0 every molecule.
    """
    seed: int = 0
    """Seed of weights, order and dropout."""


class EnvironmentOptimization(OptimizationRecipe):
    """How the weights of the network that reads environments are fitted, unless the recipe says otherwise.

    The seed is that of ``optimization``, and ``inactives_per_epoch`` is its by default.
    """

    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    positive_weight: float = Field(default=0.0, ge=0, le=1)
    keep: Literal["best", "last"] = "last"


class EnvironmentRecipe(Section):
    """The member that reads counts of circular environments in a fully connected network."""

    min_molecules: int = Field(default=3, ge=1)
    """Molecules of the training part that must have an environment for it to be a column."""
    max_columns: int = Field(default=6_000, ge=1, le=1_000_000)
    """Columns at most; of more environments, the commonest are taken."""
    hidden: int = Field(default=384, ge=1, le=MAX_WIDTH)
    """Width of the hidden layer."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout of the hidden layer."""
    optimization: EnvironmentOptimization = EnvironmentOptimization()
    """How its weights are fitted."""


class ForestRecipe(Section):
    """The member that reads counts of circular environments in a random forest."""

    trees: int = Field(default=100, ge=1, le=10_000)
    """Trees of a task."""
    min_samples_leaf: int = Field(default=2, ge=1)
    """Training molecules of a leaf at least."""
    max_features: float = Field(default=0.05, gt=0, le=1)
    """Share of the columns that a node chooses from."""
    balanced: bool = True
    """Whether both classes weigh the same in a tree."""
    zero_share: float = Field(default=0.03, ge=0, le=1)
    """Molecules without any environment, called inactive, that are added for each training molecule; they
    keep the zero baseline neutral.
    """
    max_inactives: int = Field(default=20_000, ge=1)
    """Inactives that one group of trees sees; more are drawn anew for each of ten groups."""
    seed: int = 0
    """Seed of the trees."""


class KernelRecipe(Section):
    """The member that compares a molecule with those of the training part, by counts of environments."""

    width: float = Field(default=1.0, ge=1e-3)
    """Width of the kernel, in units of the median squared distance between training molecules."""
    ridges: tuple[Annotated[float, Field(ge=1e-6)], ...] = Field(
        default=(0.03, 0.1, 0.2, 0.4, 1.0, 3.0), min_length=1
    )
    """What may be added to the diagonal of the kernel matrix; each task takes the one whose left-out squared
    error is least.
    """
    max_molecules: int = Field(default=6_000, ge=1, le=20_000)
    """Molecules to compare with; of more, those of a task's rarer class, and a draw of the rest."""
    seed: int = 0
    """Seed of that draw."""


class MemberKind(StrEnum):
    """What a committee can consist of."""

    WEAVE = "weave"
    ENVIRONMENTS = "environments"
    FOREST = "forest"
    KERNEL = "kernel"


class CommitteeRecipe(Section):
    """Which networks judge together."""

    members: tuple[MemberKind, ...] = (MemberKind.WEAVE,)
    """``weave`` is always one of them; the others read counts of circular environments."""
    blocks: tuple[Literal["environment", "element_environment", "element_pair"], ...] = (
        "environment",
        "element_environment",
        "element_pair",
    )
    """Circular environments whose atoms are told apart as in ECFP, or by their element alone; and pairs of
    elements with the number of bonds between them.
    """
    radius: int = Field(default=2, ge=0, le=4)
    """Bonds from the centre to the rim of the largest environments."""
    pair_distance: int = Field(default=5, ge=1, le=15)
    """Bonds between the atoms of a pair at most."""
    weights: Literal["learned", "equal"] = "learned"
    """Weights of the members: chosen on the validation part, the same for all tasks, or equal."""
    prior: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Weights that the members have before the validation part is asked, in the order of ``members``; they
    need not add up to 1. Default equal.
    """
    prior_molecules: float = Field(default=0.0, ge=0)
    """Validation molecules that these weights count for beside the learned ones; on a small table a
    validation part says little.
    """
    calibrate: bool = True
    """Whether the mean of a classification is calibrated on the validation part; ranks stay."""
    refit: bool = False
    """Whether the members are trained again on training and validation part together, once weights and
    calibration are chosen; not where there is no test part left to judge them by.
    """

    @model_validator(mode="after")
    def _has_weave_and_no_twins(self) -> Self:
        if MemberKind.WEAVE not in self.members or len(set(self.members)) < len(self.members):
            raise ValueError("members must name weave, and each member once")
        if self.prior and (len(self.prior) != len(self.members) or not sum(self.prior)):
            raise ValueError("prior must give each member a weight, not all of them 0")
        if self.prior and self.weights == "equal":
            raise ValueError('prior and weights = "equal" exclude each other')
        if self.others and (not self.blocks or len(set(self.blocks)) < len(self.blocks)):
            raise ValueError("blocks must name at least one kind of substructures, and each once")
        return self

    @property
    def prior_weights(self) -> tuple[float, ...]:
        """Weights before the validation part is asked; they add up to 1."""
        given = self.prior or (1.0,) * len(self.members)
        return tuple(weight / sum(given) for weight in given)

    @property
    def others(self) -> tuple[MemberKind, ...]:
        """The members beside the Weave network."""
        return tuple(member for member in self.members if member is not MemberKind.WEAVE)


class Recipe(Section):
    """All choices of a training run.

    Parameters
    ----------
    objective : {"classification", "regression"}
        Whether labels are classes (1, 0) or values (any number).
    data, molecules, features, network, committee, environments, forest, kernel : section
        See the classes of the sections.
    split, optimization, start, neutral, evaluation : section
        Likewise.
    auxiliary : tuple of section
        Other tables whose tasks are co-trained; a classification only.
    weights_dtype : {"float16", "float32"}
        Precision in which the weights are stored.

    Examples
    --------
    >>> Recipe().network.n_modules
    2
    """

    objective: Objective = Objective.CLASSIFICATION
    data: DataRecipe = DataRecipe()
    molecules: MoleculePolicy = MoleculePolicy()
    features: FeatureRecipe = FeatureRecipe()
    network: NetworkConfig = NetworkConfig()
    committee: CommitteeRecipe = CommitteeRecipe()
    environments: EnvironmentRecipe = EnvironmentRecipe()
    forest: ForestRecipe = ForestRecipe()
    kernel: KernelRecipe = KernelRecipe()
    split: SplitRecipe = SplitRecipe()
    optimization: OptimizationRecipe = OptimizationRecipe()
    start: StartRecipe = StartRecipe()
    neutral: NeutralRecipe = NeutralRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    auxiliary: tuple[AuxiliaryRecipe, ...] = ()
    weights_dtype: Literal["float16", "float32"] = "float32"

    def schema_(self) -> FeatureSchema:
        """The features that all members read."""
        schema = self.features.schema_()
        if not self.committee.others:
            return schema
        options = self.committee
        blocks = tuple(
            EnvironmentBlock(name, options.pair_distance if name == "element_pair" else options.radius)
            for name in options.blocks
        )
        return replace(schema, environment_blocks=blocks)

    @property
    def compared(self) -> int:
        """Molecules at most that the kernel machine compares, each with each; 0 without one."""
        return self.kernel.max_molecules if MemberKind.KERNEL in self.committee.members else 0

    def seen_from(self, directory: Path) -> Recipe:
        """The recipe as it is written to a file in that directory, with the path of the start from there."""
        if not self.start.directory:
            return self
        path, home = Path(self.start.directory).resolve(), directory.resolve()
        with contextlib.suppress(ValueError):  # on another drive
            path = Path(os.path.relpath(path, home))
        return self._with_start_at(path.as_posix())

    def read_in(self, directory: Path) -> Recipe:
        """The recipe of a file in that directory, with the path of the start from here."""
        return self._with_start_at(str(directory / self.start.directory)) if self.start.directory else self

    def _with_start_at(self, path: str) -> Recipe:
        return self.model_copy(update={"start": self.start.model_copy(update={"model": path})})

    # What a command line says otherwise. None: nothing; what is said is checked as if the recipe had it.

    def with_objective(self, objective: str | None, table: LabelledTable) -> Recipe:
        """The recipe with the objective that is stated, or else that the labels of a public set need.

        What the recipe itself states goes before the latter, and so does a cut, which makes classes.
        """
        known = [known.value for known in Objective]
        if objective is not None and objective not in known:
            raise UnknownNameError("value of --objective", objective, known)
        if objective is None and "objective" not in self.model_fields_set and not self.data.cut:
            public = dataset_of(table.source)
            if public and set(table.targets) <= set(public.numbers):
                objective = Objective.REGRESSION.value
        if objective in (None, self.objective):
            return self
        return parse_recipe(self._plain() | {"objective": objective}, OPTIONS)

    def with_cut(self, above: float | None, below: float | None) -> Recipe:
        """The recipe with another cut."""
        if above is None and below is None:
            return self
        plain = self._plain()
        plain["data"] |= {"active_above": above, "active_below": below}
        return parse_recipe(plain, OPTIONS)

    def with_split(
        self,
        kind: str | None,
        *,
        column: str | None = None,
        validation: float | None = None,
        test: float | None = None,
    ) -> Recipe:
        """The recipe with another split; listed parts then no longer hold.

        Raises UsageError for an unknown kind, or an option that the kind has no use for.
        """
        kinds = [known.value for known in SplitKind]
        if kind is not None and kind not in kinds:
            raise UnknownNameError("value of --split", kind, kinds)
        changes = {"kind": kind, "column": column, "validation": validation, "test": test}
        given = {name: value for name, value in changes.items() if value is not None}
        if not given:
            return self
        plain = self._plain()
        if not self.split.by_column:
            del plain["split"]["column"]  # a default, which is no choice
        plain["split"] |= {"parts": ""} | given
        changed = parse_recipe(plain, OPTIONS)
        if column is not None and not changed.split.by_column:
            raise UsageError(
                f"--split-column is of no use to a {changed.split.kind.value} split: add --split group, time "
                "or given, or leave it out"
            )
        if test is not None and changed.split.kind is SplitKind.GIVEN:
            raise UsageError("--test is of no use to a given split, whose column names the test part")
        return changed

    def with_start(self, model: str | None) -> Recipe:
        """The recipe with another model to start from; ``none`` for none."""
        if model is None:
            return self
        start = StartRecipe(model="" if model.strip().lower() == "none" else model)
        return self.model_copy(update={"start": start})

    def with_evaluation(self, folds: int | None, baselines: str | None, seed: int | None) -> Recipe:
        """The recipe with another evaluation; the seed is also that of the split."""
        plain = self._plain()
        evaluation = plain["evaluation"]
        evaluation |= {k: v for k, v in (("folds", folds), ("seed", seed)) if v is not None}
        if seed is not None:
            plain["split"]["seed"] = seed
        if baselines is not None:
            evaluation["baselines"] = [] if baselines == "none" else baselines.split(",")
        return parse_recipe(plain, OPTIONS)

    def _plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        if self.molecules.standardization_version != PARENT_VERSION:
            raise ValueError(
                f"molecules.standardization_version: this molig standardises by version {PARENT_VERSION} "
                "only; leave the key out"
            )
        if self.objective is Objective.REGRESSION and self.optimization.inactives_per_epoch is not None:
            raise ValueError("optimization.inactives_per_epoch is for classes; a regression has no inactives")
        if self.objective is Objective.REGRESSION and self.data.cut:
            raise ValueError(
                "a cut (data.active_above, data.active_below) makes classes; a regression has none"
            )
        if self.objective is Objective.REGRESSION and self.auxiliary:
            raise ValueError("auxiliary tables are for classes; a regression takes none")
        if self.committee.refit and self.optimization.keep == "best":
            raise ValueError(
                'committee.refit needs optimization.keep = "last": what is trained on all but the test '
                "part has no validation part to choose the best epoch by"
            )
        if len({auxiliary.name for auxiliary in self.auxiliary}) < len(self.auxiliary):
            raise ValueError("an auxiliary table is named twice")
        if self.data.name and self.data.name in {auxiliary.name for auxiliary in self.auxiliary}:
            raise ValueError(f"{self.data.name} is the table itself; name other tables as auxiliary")
        return self


def bundled_recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with molig.

    Examples
    --------
    >>> "tox21-w2n2-simple" in bundled_recipes()
    True
    """
    return {path.stem: path for path in sorted(_bundled_folder().glob("*.toml"))}


def _bundled_folder() -> Path:
    return Path(str(resources.files("molig.training"))) / "recipes"


DEFAULT_RECIPE = "committee"
"""Bundled recipe of ``molig train`` where none is named."""


def find_recipe(path_or_name: str | Path) -> Path:
    """File of a recipe, given by its path or, for a bundled one, its name; UsageError if there is none."""
    path, bundled = Path(path_or_name), bundled_recipes()
    if path.is_file():
        return path
    if str(path_or_name) in bundled:
        return bundled[str(path_or_name)]
    if len(path.parts) > 1 or path.suffix:
        raise UsageError(f"cannot read the recipe {path}: there is no such file")
    raise UnknownNameError("recipe", str(path_or_name), bundled)


def read_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe; what it leaves out takes its default.

    Parameters
    ----------
    path : str or Path
        The file, or the name of a bundled recipe.

    Returns
    -------
    Recipe

    Raises
    ------
    UsageError
        If the file cannot be read, is not TOML, or has an unknown key or an impossible value (named).
    """
    path = find_recipe(path)
    return parse_recipe(read_toml(path), str(path)).read_in(path.parent)


def read_toml(path: Path) -> dict[str, Any]:
    """The plain data of a recipe file."""
    try:
        return tomllib.loads(read_regular(path, _LARGEST_RECIPE).decode())
    except OSError as err:
        raise UsageError(f"cannot read the recipe {path}: {err.strerror or err}") from err
    except UnicodeDecodeError as err:
        raise UsageError(f"cannot read the recipe {path}: {err}") from err
    except (ValueError, RecursionError) as err:  # not only of TOML, also of numbers with thousands of digits
        raise UsageError(f"the recipe {path} is not valid TOML: {err}") from err


def parse_recipe(data: dict[str, Any], source: str = "recipe") -> Recipe:
    """Check plain data and make a `Recipe` of it.

    Parameters
    ----------
    data : dict
        Sections and keys as in the TOML file; what is left out takes its default.
    source : str
        Where the data come from, for error messages.

    Returns
    -------
    Recipe

    Raises
    ------
    UsageError
        Naming the key, if one is unknown or has an impossible value.

    Examples
    --------
    >>> parse_recipe({"optimization": {"epochs": 3}}).optimization.epochs
    3
    """
    try:
        return Recipe.model_validate(data)
    except ValidationError as err:
        first = err.errors()[0]
        # The place in a list of sections says less than the name of the key.
        where = [part for part in first["loc"] if isinstance(part, str)]
        if first["type"] == "extra_forbidden":
            unknown = UnknownNameError("key", ".".join(where), _valid_keys(where[:-1]))
            raise UsageError(f"{source}: {unknown}") from err
        if first["type"] == "value_error":
            # What contradicts itself is a whole section, or the whole recipe: too long to be repeated.
            raise UsageError(": ".join([source, *where[:1], str(first["ctx"]["error"])])) from err
        raise UsageError(f"{_place(source, where)}: {first['msg']} (got {first['input']!r})") from err


def _place(source: str, where: list[str]) -> str:
    """A key in the words of who gave it: of a recipe, or of a command line."""
    return f"--{where[-1].replace('_', '-')}" if source == OPTIONS else f"{source}: {'.'.join(where)}"


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write a recipe as TOML, with every value spelled out; see `Recipe.seen_from` for the path in it.

    Parameters
    ----------
    recipe : Recipe
        The choices.
    path : str or Path
        The file to write, or to replace.
    """
    Path(path).write_text(tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)), encoding="utf-8")


def _valid_keys(section: list[str]) -> list[str]:
    fields = Recipe.model_fields
    prefix = ""
    for name in section:
        annotation = fields[name].annotation
        annotation = next(iter(get_args(annotation)), annotation)  # of a list of sections, the section
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        fields, prefix = annotation.model_fields, f"{prefix}{name}."
    return [prefix + name for name in fields]


# Which table a recipe is trained on or judged with.


@dataclass(frozen=True)
class LabelledTable:
    """A table with SMILES and labels.

    Parameters
    ----------
    source : Path
        The file.
    targets : tuple of str
        Label columns.
    smiles_column : str, optional
        Where to find the SMILES, if not under a usual name.
    delimiter : str, optional
        What separates columns, if that cannot be guessed.
    folder : Path
        Directory of the recipe, where ``split.parts`` lies.
    note : str
        A sentence on what of the recipe does not hold for this table; mostly empty.
    """

    source: Path
    targets: tuple[str, ...]
    smiles_column: str | None = None
    delimiter: str | None = None
    folder: Path = Path()
    note: str = ""


def locate_table(
    recipe: Recipe,
    recipe_file: Path | None = None,
    *,
    source: Path | None = None,
    targets: Sequence[str] = (),
    smiles_column: str | None = None,
    delimiter: str | None = None,
) -> LabelledTable:
    """Find the table of a recipe; what a command line gives beside the recipe comes first.

    A relative ``data.file`` is seen from the directory of `recipe_file`. Where nobody names label columns, a
    public data set has its own.
    """
    data = recipe.data
    folder = recipe_file.parent if recipe_file else Path()
    known = datasets()
    if data.name and data.name not in known:
        raise UnknownNameError("data set", data.name, known)
    if source is None:
        if data.name:
            source = find_dataset(data.name)
        elif data.file:
            source = folder / data.file
        else:
            raise UsageError(
                "no table: give one with --input, or name it in the [data] section of the recipe"
            )
    public = known[data.name] if data.name else dataset_of(source)
    columns = tuple(targets) or data.targets or (public.targets if public else ())
    if not columns:
        likely = label_columns(
            source,
            smiles_column=smiles_column or data.smiles_column,
            delimiter=delimiter or data.delimiter,
        )
        kinds = {"two classes are in": likely.classes, "numbers are in": likely.numbers}
        these = "".join(
            f"; {kind} {', '.join(map(repr, names[:_NAMED]))}" for kind, names in kinds.items() if names
        )
        raise UsageError(
            "no label column: name some with --label, or as targets in the [data] section of the "
            f"recipe{these}"
        )
    return LabelledTable(
        source, columns, smiles_column or data.smiles_column, delimiter or data.delimiter, folder
    )


def read_recipe_and_table(
    recipe: str | Path,
    *,
    source: Path | None = None,
    targets: Sequence[str] = (),
    smiles_column: str | None = None,
    delimiter: str | None = None,
) -> tuple[Recipe, LabelledTable]:
    """Read a recipe, by file or name, and find its table; see `read_recipe` and `locate_table`.

    Listed parts are rows of the table that the recipe names: for another one, the recipe comes without them.
    """
    path = find_recipe(recipe)
    read = read_recipe(path)
    table = locate_table(
        read, path, source=source, targets=targets, smiles_column=smiles_column, delimiter=delimiter
    )
    parts, own = read.split.parts, _file_of(read.data)
    if not parts or not own or table.source.name == own:
        return read, table
    note = (
        f"split.parts: {parts} lists rows of {own}, not of {table.source.name}, which is dealt to parts anew "
        f"({read.split.kind.value})"
    )
    split = read.split.model_copy(update={"parts": ""})
    return read.model_copy(update={"split": split}), replace(table, note=note)


def mixed_targets(table: LabelledTable) -> str:
    """A sentence on a public table whose rows are of many targets; empty for any other."""
    known = dataset_of(table.source)
    if known is None or not known.is_long:
        return ""
    each = known.members_column
    return (
        f"{known.name} has rows of {len(known.members)} targets, and one model of all mixes their values: "
        f"train on a table with the rows of one (column {each}), or judge all of them with molig evaluate "
        f"--each-value-of {each}"
    )


def _file_of(data: DataRecipe) -> str:
    """Name of the file of the table that a recipe names; empty if it names none."""
    return datasets()[data.name].file if data.name else Path(data.file).name


def find_parts(split: SplitRecipe, folder: Path) -> Path:
    """The file that ``split.parts`` names: seen from the recipe's directory, or else a bundled one."""
    beside, bundled = folder / split.parts, _bundled_folder() / Path(split.parts).name
    if beside.exists():
        return beside
    if bundled.is_file() and bundled.name == split.parts:
        return bundled
    raise UsageError(
        f"split.parts: there is no {beside}, nor a file of that name that comes with molig: put it beside "
        "the recipe, or take split.parts out of the recipe to have the parts dealt"
    )


def public_data(recipe: Recipe, source: Path) -> tuple[str, str]:
    """Source and licence of a recipe's public data set; empty if the table is another one."""
    known = datasets().get(recipe.data.name)
    if known is None or source.name != known.file:
        return "", ""
    return "; ".join([known.title, *known.citation]), known.licence
