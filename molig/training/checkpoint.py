"""Checkpoints: one safetensors file with weights, optimizer and progress; no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from molig.errors import InputError, OutputError, UsageError

CHECKPOINT_FILE = "checkpoint.safetensors"


class Progress(BaseModel):
    """Where a run stands after an epoch.

    Parameters
    ----------
    fingerprint : str
        Digest of data and recipe; a checkpoint of another run is refused.
    epoch : int
        Epochs done.
    best_epoch : int
        Epoch of the best validation score.
    best_score : float
        That score, the median ROC-AUC or R2.
    history : list of dict
        One entry per epoch.
    """

    # Scores may be NaN or infinite; without this they would be written as null.
    model_config = ConfigDict(ser_json_inf_nan="constants")

    fingerprint: str
    epoch: int = 0
    best_epoch: int = 0
    best_score: float = float("-inf")
    history: list[dict[str, float]] = []


def save_checkpoint(
    path: Path,
    progress: Progress,
    *,
    networks: Mapping[str, nn.Module],
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Write the state of a run; the file is replaced as a whole."""
    state = optimizer.state_dict()
    tensors = {f"{name}/{k}": v for name, net in networks.items() for k, v in net.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in best.items()}
    for index, moments in state["state"].items():
        tensors |= {f"optimizer/{index}/{k}": v for k, v in moments.items()}
    metadata = {
        "progress": progress.model_dump_json(),
        "groups": json.dumps(state["param_groups"]),
        "scheduler": json.dumps(scheduler.state_dict()),
    }
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, temporary, metadata)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as err:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write the checkpoint {path}: {err}") from err


def load_checkpoint(
    path: Path,
    fingerprint: str,
    networks: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[Progress, dict[str, Tensor]]:
    """Bring networks, optimizer and scheduler to a saved state.

    Returns
    -------
    progress : Progress
    best : dict of str to Tensor
        Weights of the best epoch so far.

    Raises
    ------
    InputError
        If the file is damaged.
    UsageError
        If it belongs to a run on other data or with another recipe.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        progress = Progress.model_validate_json(metadata["progress"])
        groups, schedule = json.loads(metadata["groups"]), json.loads(metadata["scheduler"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as err:
        raise InputError(f"the checkpoint {path} is damaged: {err}; delete it to start again") from err
    if progress.fingerprint != fingerprint:
        raise UsageError(
            f"the checkpoint {path} belongs to other data or another recipe; "
            "use the same ones, or delete it to start again"
        )
    for name, network in networks.items():
        network.load_state_dict(_under(f"{name}/", tensors))
    optimizer.load_state_dict({"state": _moments(tensors), "param_groups": groups})
    scheduler.load_state_dict(schedule)
    return progress, _under("best/", tensors)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _moments(tensors: dict[str, Tensor]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in _under("optimizer/", tensors).items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    return state
