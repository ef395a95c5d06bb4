"""A small model that knows its training molecules."""

import shutil

import pytest
from rdkit import Chem
from support.small_model import nci_smiles

from molig.model import Applicability, ScreeningModel
from molig.molecules import Molecule


def domain_of(model: ScreeningModel, smiles: list[str], seed: int = 0) -> Applicability:
    """Applicability domain of a model, as if it had been trained on these molecules."""
    mols = [model.parser.parse_smiles(s).mol for s in smiles]
    heavy = [Chem.MolToSmiles(Chem.RemoveHs(mol)) for mol in mols]
    return Applicability.fit(heavy, model.featurize(mols), model.schema, seed=seed)


@pytest.fixture(scope="package")
def domain_model(small_model, nci_file) -> ScreeningModel:
    """The small model with the applicability domain of its first 200 molecules."""
    smiles = [s for s in nci_smiles(200) if isinstance(small_model.parser.parse_smiles(s), Molecule)]
    return ScreeningModel(small_model.info, small_model.network, "cpu", domain_of(small_model, smiles))


@pytest.fixture
def copy(small_model_dir, tmp_path):
    """Directory of the small model, to be changed."""
    return shutil.copytree(small_model_dir, tmp_path / "copy")
