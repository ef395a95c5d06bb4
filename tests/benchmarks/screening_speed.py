"""SMILES to features and scores on one core, against RDKit's parser alone and, if installed, Chemprop.

    python tests/benchmarks/screening_speed.py [--repeats 3] [--model tox21-w2n2-simple] [--molecules 5000]
                                               [--library TABLE.parquet] [--out FILE.json]

All jobs run in turn within one run, in seconds of processor time; ratios hold on a busy machine, absolute
speeds do not. The last ratio is that of `molig screen` with one molecule to `import torch`, each in a process
of its own. Chemprop is not a dependency; ``pip install -c constraints.txt chemprop 'lightning<2.6'``
brings it. Its compiled featurizer, cuik-molmaker-pin, is built for one release of RDKit each; it is timed
where it imports.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from common import interleaved, median_ratio, nci_smiles, one_core
from rdkit import Chem

import molig
from molig.molecules import smiles_records
from molig.molecules.records import batched

try:
    import resource
except ImportError:  # Windows
    resource = None

FLOOR = "RDKit MolFromSmiles only"
FEATURES = "molig SMILES to features"
SCORES = "molig SMILES to scores"
COARSE = "molig SMILES to scores in bfloat16"
_BATCH = 512


def chemprop_job(smiles: list[str], *, compiled: bool = False) -> Callable[[], object] | None:
    """Predict with Chemprop as its documentation does: datapoints, data loader, trainer."""
    try:
        if compiled:
            import cuik_molmaker  # noqa: F401
        import torch
        from chemprop import data, featurizers, models, nn
        from lightning import pytorch as pl
    except ImportError:
        return None
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(0)
    network = models.MPNN(nn.BondMessagePassing(), nn.MeanAggregation(), nn.BinaryClassificationFFN())
    trainer = pl.Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        devices=1,
    )

    def predict() -> object:
        if compiled:
            points = [data.LazyMoleculeDatapoint(smiles=s) for s in smiles]
            dataset = data.CuikmolmakerDataset(points, featurizers.CuikmolmakerMolGraphFeaturizer())
        else:
            points = [data.MoleculeDatapoint.from_smi(s) for s in smiles]
            dataset = data.MoleculeDataset(points, featurizers.SimpleMoleculeMolGraphFeaturizer())
        loader = data.build_dataloader(dataset, batch_size=256, shuffle=False, num_workers=0)
        return trainer.predict(network, loader)

    return predict


def start_up(model: str, repeats: int) -> dict[str, float]:
    """Processor seconds of a process that screens one molecule, and of one that imports torch."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "one.smi"
        library.write_text("CC(=O)Oc1ccccc1C(=O)O aspirin\n")
        screen = ["-m", "molig", "screen", str(library), "-m", model, "--task", "all", "--quiet"]
        commands = {"one molecule from the shell": screen, "import torch": ["-c", "import torch"]}
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats + 1):
            for name, command in commands.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                seconds[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def main() -> None:
    """Time the jobs in turn, print molecules per second and ratios, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="tox21-w2n2-simple")
    parser.add_argument("--molecules", type=int, default=5000)
    parser.add_argument("--library", type=Path, help="Parquet table with a column smiles, instead of RDKit's")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    one_core()
    smiles = nci_smiles()
    if options.library:
        smiles = pq.read_table(options.library, columns=["smiles"])["smiles"].to_pylist()
    smiles = smiles[:: max(1, len(smiles) // options.molecules)][: options.molecules]
    model = molig.load_model(options.model)
    coarse = model.in_bfloat16()

    def features() -> None:
        for records in batched(smiles_records(smiles), _BATCH):
            model.featurizer.counted(model.parser.parse_many(records)[0])

    jobs: dict[str, Callable[[], object]] = {
        FLOOR: lambda: [Chem.MolFromSmiles(s) for s in smiles],
        FEATURES: features,
        SCORES: lambda: model.predict(smiles),
        COARSE: lambda: coarse.predict(smiles),
    }
    peers = {
        "Chemprop SMILES to prediction": chemprop_job(smiles),
        "Chemprop with cuik-molmaker": chemprop_job(smiles, compiled=True),
    }
    jobs |= {name: job for name, job in peers.items() if job is not None}
    seconds = interleaved(jobs, options.repeats)
    speeds = {name: len(smiles) / statistics.median(times) for name, times in seconds.items()}
    for name, speed in speeds.items():
        print(f"{name:40s} {speed:10,.0f} molecules/s")
    own = (FEATURES, SCORES, COARSE)
    ratios = {f"{name} / parser": median_ratio(seconds[FLOOR], seconds[name]) for name in own}
    for name in jobs.keys() & peers.keys():
        ratios[f"{SCORES} / {name}"] = median_ratio(seconds[name], seconds[SCORES])
    started = start_up(options.model, options.repeats) if resource else {}
    if started:
        one, torch_alone = started.values()
        ratios["one molecule from the shell / import torch"] = one / torch_alone
        print(f"one molecule from the shell: {one:.2f} s, of which import torch takes {torch_alone:.2f} s")
    for name, ratio in ratios.items():
        print(f"{ratio:6.2f}  {name}")
    if options.out:
        found = {
            "molecules": len(smiles),
            "molecules_per_second": speeds,
            "seconds": started,
            "ratios": ratios,
        }
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
