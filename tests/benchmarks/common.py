"""What the benchmark scripts share: real molecules, and timing on one core."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from rdkit import Chem, RDConfig, RDLogger

NCI = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"


def one_core() -> None:
    """Bind this process to one core and torch to one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import torch

    torch.set_num_threads(1)
    RDLogger.DisableLog("rdApp.*")


def nci_smiles() -> list[str]:
    """4,984 molecules that come with RDKit: readable, 1 to 60 heavy atoms."""
    lines = [line.split()[0] for line in NCI.read_text().splitlines() if line.strip()]
    mols = [(smiles, Chem.MolFromSmiles(smiles)) for smiles in lines]
    return [s for s, m in mols if m is not None and 1 <= m.GetNumHeavyAtoms() <= 60]


def interleaved(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each job, in turn A B A B, after one warm-up each: drift hits all alike."""
    for job in jobs.values():
        job()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            seconds[name].append(time.process_time() - start)
    return seconds


def median_ratio(a: list[float], b: list[float]) -> float:
    """Median over the repeats of a / b."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))
