"""Write ``small.pt`` and ``small.ckpt`` with the real Chemprop, and what it predicts for the odd molecules.

Run once, with Chemprop installed: ``PYTHONPATH=tests python -m foreign.make_small``. The files let the tests
read what Chemprop and Lightning write where neither is installed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from rdkit import Chem

from foreign.chemprop_models import ODD, Kind, build, graphs_of, predicted, real_chemprop, save

HERE = Path(__file__).parent


def main() -> None:
    real_chemprop()
    kind = Kind(
        "BinaryClassificationFFN",
        batch_norm=True,
        passing={"d_h": 8},
        predictor={"n_tasks": 2, "hidden_dim": 6, "n_layers": 1},
    )
    mols = [Chem.MolFromSmiles(smiles) for smiles in ODD]
    model = build(kind)
    save(model, HERE / "small.pt", ["first", "second"])
    expected = {"small.pt": predicted(model, graphs_of(mols, "v2")).round(7).tolist()}
    trained = train(mols)
    expected["small.ckpt"] = predicted(trained, graphs_of(mols, "v2")).round(7).tolist()
    for name, values in expected.items():
        if np.std(values, axis=0).min() < 0.01:
            raise SystemExit(f"{name} predicts the same for all molecules; take another seed")
    (HERE / "small.json").write_text(json.dumps(expected))


def train(mols):
    """A regression that Lightning trained for one epoch, with a checkpoint of everything it keeps."""
    from chemprop.data import MoleculeDatapoint, MoleculeDataset, build_dataloader
    from chemprop.nn.metrics import MAE, RMSE
    from lightning import pytorch as pl
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    kind = Kind(unscale=True, passing={"d_h": 8}, predictor={"hidden_dim": 6, "n_layers": 1})
    model = build(kind).train()
    model.metrics.insert(0, RMSE())
    model.hparams["metrics"] = [RMSE(), MAE()]
    data = [MoleculeDatapoint(mol, y=np.array([float(mol.GetNumAtoms())])) for mol in mols]
    data = build_dataloader(MoleculeDataset(data), batch_size=16)
    keep = ModelCheckpoint(HERE, "small", "val_loss", save_last=False, enable_version_counter=False)
    stop = EarlyStopping("val_loss", patience=3)
    trainer = pl.Trainer(
        max_epochs=1, logger=False, accelerator="cpu", callbacks=[keep, stop], enable_progress_bar=False
    )
    trainer.fit(model, data, data)
    return type(model).load_from_checkpoint(keep.best_model_path).eval()


if __name__ == "__main__":
    main()
