"""Where to compute."""

from __future__ import annotations

import torch

from molig.errors import UsageError


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn ``"auto"``, ``"cpu"`` or ``"cuda[:i]"`` into a torch device that is there."""
    if isinstance(device, torch.device):
        return device
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as err:
        raise UsageError(f"unknown device {device!r}; use auto, cpu or cuda") from err
    if found.type not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}; use auto, cpu or cuda")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA GPU is available to torch; use --device cpu or auto")
    return found
