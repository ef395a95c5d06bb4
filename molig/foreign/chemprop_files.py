"""Files of Chemprop v2: which ones a user means, and what their networks, tasks and options are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from molig.errors import InputError, ModelFormatError, UnknownNameError, UsageError
from molig.files import read_regular
from molig.foreign.checkpoint import Checkpoint, read_checkpoint
from molig.foreign.chemprop_features import PRESETS, chemprop_schema
from molig.foreign.chemprop_model import ChempropModel, Ensemble
from molig.foreign.chemprop_molecules import ChempropParser
from molig.foreign.chemprop_network import ChempropNetwork, Sizes
from molig.molecules import StandardizationPolicy

SUFFIXES = (".pt", ".ckpt")
# Names that Chemprop gives to every model; that of the directory says more.
_GENERIC = {"best", "last", "model"}
_LARGEST_CONFIG = 1_000_000
_BEST = "best.pt"
# Replicates, networks, checkpoints: folders within a folder that a training run makes.
_DEEPEST = 3
_LISTED = 8


@dataclass(frozen=True)
class InputOptions:
    """How molecules become graphs; None where a ``config.toml``, or else Chemprop's default, decides.

    Parameters
    ----------
    atom_features : str, optional
        ``"v2"``, ``"v1"``, ``"organic"`` or ``"rigr"``; by default what fits the weights.
    keep_h, add_h, ignore_stereo, reorder_atoms : bool, optional
        As the options of Chemprop of the same names.
    standardization : str, optional
        ``"none"``, as Chemprop does (default), or ``"parent"``.
    max_heavy_atoms : int
        Largest molecule accepted.
    """

    atom_features: str | None = None
    keep_h: bool | None = None
    add_h: bool | None = None
    ignore_stereo: bool | None = None
    reorder_atoms: bool | None = None
    standardization: str | None = None
    max_heavy_atoms: int = 200

    def parser(self, config: Mapping[str, str]) -> ChempropParser:
        """The parser; ``config`` is that of the training run, or empty."""

        def chosen(name: str) -> bool:
            value = getattr(self, name)
            stated = config.get(name.replace("_", "-"), "false")
            return stated.lower() == "true" if value is None else bool(value)

        return ChempropParser(
            self.standardization or StandardizationPolicy.NONE,
            self.max_heavy_atoms,
            keep_h=chosen("keep_h"),
            add_h=chosen("add_h"),
            ignore_stereo=chosen("ignore_stereo"),
            reorder_atoms=chosen("reorder_atoms"),
        )


def load_chemprop(
    paths: str | Path | Sequence[str | Path],
    options: InputOptions | None = None,
    device: str | torch.device = "cpu",
) -> ChempropModel:
    """Read a Chemprop v2 model; nothing in its files is run.

    Parameters
    ----------
    paths : str, Path or sequence of them
        ``.pt`` and ``.ckpt`` files, or directories: of one that Chemprop's training made its
        ``model_N/best.pt``, else all ``.pt`` or all ``.ckpt`` files directly inside. Several files are an
        ensemble, whose predictions are averaged as Chemprop does.
    options : InputOptions
        How molecules become graphs. The files do not say; a ``config.toml`` that Chemprop wrote beside them,
        or up to three directories above, does.
    device : str or torch.device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Returns
    -------
    ChempropModel

    Raises
    ------
    InputError
        If a directory holds no networks where they are looked for, in two places, or of both kinds.
    ModelFormatError
        If a file is damaged, is no Chemprop v2 model of one molecule, or names what no such model needs.
    UsageError
        If there is no such file, the networks do not predict the same tasks, or the atom features do not
        fit them.
    """
    options = options or InputOptions()
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    files = model_files(listed)
    config = _training_config(files[0])
    ensemble = read_ensemble(files, _target_columns(config))
    sizes = ensemble.networks[0].sizes
    preset = preset_of(sizes, options.atom_features or config.get("multi-hot-atom-featurizer-mode"), files[0])
    first = Path(listed[0]).absolute()
    name = first.name if first.is_dir() else first.parent.name if first.stem in _GENERIC else first.stem
    return ChempropModel(name, [ensemble], preset, options.parser(config), device)


def model_files(paths: Sequence[str | Path]) -> list[Path]:
    """Files of the networks, those of directories in the order of their names."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += _files_of_directory(path)
        elif not path.exists():
            raise UsageError(f"no model file or directory at {path}")
        elif path.suffix in SUFFIXES:
            found.append(path)
        else:
            raise UsageError(f"{path} is no model file: Chemprop's end in {' or '.join(SUFFIXES)}")
    if not found:
        raise UsageError("no model file is named")
    if twice := [path for path, n in Counter(path.resolve() for path in found).items() if n > 1]:
        raise UsageError(f"{twice[0]} is named twice; an ensemble averages different networks")
    return found


def _files_of_directory(folder: Path) -> list[Path]:
    """What a training run left, ``model_N/best.pt``, or else all files of one kind directly inside."""
    members = [path for path in folder.glob("model_*") if path.is_dir() and path.name[6:].isdecimal()]
    trained = [path / _BEST for path in sorted(members, key=lambda path: int(path.name[6:]))]
    inside = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and path.is_file())
    if trained and not inside:
        if unfinished := [path for path in trained if not path.is_file()]:
            raise InputError(
                f"{folder} is a training run of {len(trained)} networks, but {unfinished[0]} is missing, so "
                f"its training has not ended; name the files to use one by one{_found_below(folder)}"
            )
        return trained
    if inside and not trained and len({path.suffix for path in inside}) == 1:
        return inside
    if not trained and not inside:
        wrong = "holds no networks where they are looked for"
    elif trained:
        wrong = "holds networks in two places"
    else:
        wrong = "holds .pt and .ckpt files, which may be of the same network"
    raise InputError(
        f"{folder} {wrong}: of a directory either model_N/{_BEST} are taken, as Chemprop's training writes "
        "them, or all .pt or all .ckpt files directly inside; name the files or directories to use one by one"
        f"{_found_below(folder)}"
    )


def files_below(folder: Path) -> Iterator[Path]:
    """Files that may be networks, as deep as Chemprop's training writes any."""
    for depth in range(_DEEPEST + 1):
        pattern = "*/" * depth
        yield from sorted(path for suffix in SUFFIXES for path in folder.glob(f"{pattern}*{suffix}"))


def _found_below(folder: Path) -> str:
    found = [str(path.relative_to(folder)) for path in files_below(folder)]
    if not found:
        return ""
    more = f" and {len(found) - _LISTED} more" * (len(found) > _LISTED)
    return f" (found {', '.join(found[:_LISTED])}{more})"


class _Member(NamedTuple):
    """A network of an ensemble, where it comes from, and the tasks that its file names."""

    file: Path
    network: ChempropNetwork
    tasks: tuple[str, ...] | None


def read_ensemble(files: Sequence[Path], names: Sequence[str] = ()) -> Ensemble:
    """Networks of the same tasks from several files; ``names`` of the tasks for files that state none."""
    members: list[_Member] = []
    for file in files:
        checkpoint = read_checkpoint(file)
        network = ChempropNetwork(checkpoint)
        members.append(_Member(file, network, _task_names(checkpoint, network)))
        _check_alike(members[0], members[-1])
    predictor = members[0].network.predictor
    stored = next((member.tasks for member in members if member.tasks is not None), None)
    if stored is None and len(names) == predictor.n_tasks and len(set(names)) == len(names):
        stored = tuple(names)
    tasks = stored or tuple(f"pred_{i}" for i in range(predictor.n_tasks))
    if predictor.n_classes > 1:
        tasks = tuple(f"{task}: class {k}" for task in tasks for k in range(predictor.n_classes))
    return Ensemble(tuple(member.network for member in members), tasks)


def _task_names(checkpoint: Checkpoint, network: ChempropNetwork) -> tuple[str, ...] | None:
    names = checkpoint.content.get("output_columns")
    if names is None:
        return None
    n_tasks = network.predictor.n_tasks
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise checkpoint.wrong("its output_columns are no list of names")
    if len(names) != n_tasks or len(set(names)) != n_tasks:
        raise checkpoint.wrong(f"it names {len(set(names))} different tasks, but its head predicts {n_tasks}")
    return tuple(names)


def _check_alike(first: _Member, other: _Member) -> None:
    """Refuse an ensemble of networks that do not predict the same from the same."""
    kinds = [
        f"{p.n_tasks} tasks of the kind {p.head.value}" + (f" ({p.n_classes} classes)" * (p.n_classes > 1))
        for p in (first.network.predictor, other.network.predictor)
    ]
    reads = [
        f"{s.atom} features of atoms and {s.bond} of bonds, and {s.descriptors} descriptors of molecules and "
        f"{s.atom_descriptors} of atoms"
        for s in (first.network.sizes, other.network.sizes)
    ]
    named = [", ".join(member.tasks or ()) for member in (first, other)]
    for verb, (mine, its) in (("predicts", kinds), ("predicts", named), ("reads", reads)):
        if mine and its and mine != its:
            raise UsageError(
                f"{first.file} {verb} {_short(mine)}; {other.file} {verb} {_short(its)}: they are no ensemble"
            )


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."


def preset_of(sizes: Sizes, wanted: str | None, file: Path) -> str:
    """Atom features that fit the weights."""
    known = {name: chemprop_schema(name) for name in PRESETS}
    widths = {name: (schema.n_atom_columns, schema.n_pair_columns) for name, schema in known.items()}
    reads = sizes.atom, sizes.bond
    fitting = next((name for name, width in widths.items() if width == reads), None)
    found = f"{file} reads {sizes.atom} features per atom and {sizes.bond} per bond"
    if wanted is not None:
        name = wanted.lower()
        if name not in PRESETS:
            raise UnknownNameError("set of atom features", name, PRESETS)
        if fitting not in (None, name) or min(np.subtract(reads, widths[name])) < 0:
            raise UsageError(
                f"{found}; {name} has {widths[name][0]} and {widths[name][1]}: it was trained on "
                f"{fitting or 'others'}"
            )
        return name
    if fitting is not None:
        return fitting
    listed = ", ".join(f"{name} {atom} + {bond}" for name, (atom, bond) in widths.items())
    # Of a reaction both sides are read, its elements once.
    reactions = [
        (2 * s.n_atom_columns - s.atom_blocks[0].width, 2 * s.n_pair_columns) for s in known.values()
    ]
    raise ModelFormatError(
        f"{found}, which no set of Chemprop has ({listed}): "
        + (
            "it was trained on reactions, which molig does not score"
            if reads in reactions
            else "if it was trained with features of one's own behind one of these sets, name the set "
            "(atom_features) and give them; a featurizer of one's own cannot be read from the file"
        )
    )


def _training_config(file: Path) -> dict[str, str]:
    """Options of the training run, where Chemprop's config.toml lies beside or above the file.

    It is no TOML: texts have no quotes. So each line is taken as an option and its value.
    """
    for folder in list(file.absolute().parents)[:4]:
        path = folder / "config.toml"
        if path.is_file():
            try:
                lines = read_regular(path, _LARGEST_CONFIG).decode().splitlines()
            except (OSError, ValueError) as err:
                raise ModelFormatError(
                    f"{path}, settings of the training run, cannot be read: {err}"
                ) from err
            pairs = (line.partition("=") for line in lines if "=" in line)
            return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
    return {}


def _target_columns(config: Mapping[str, str]) -> list[str]:
    """Tasks of the training run, for checkpoints of Lightning, which do not name them."""
    listed = config.get("target-columns", "").strip("[]")
    return [name.strip() for name in listed.split(",")] if listed else []
