"""The public data sets that molig knows how to get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from molig.errors import UnknownNameError

# Task names of the larger sets, in the order of their columns.

TOX21 = {
    "NR-AR": "androgen receptor",
    "NR-AR-LBD": "androgen receptor, ligand-binding domain",
    "NR-AhR": "aryl hydrocarbon receptor",
    "NR-Aromatase": "aromatase",
    "NR-ER": "oestrogen receptor alpha",
    "NR-ER-LBD": "oestrogen receptor alpha, ligand-binding domain",
    "NR-PPAR-gamma": "peroxisome proliferator-activated receptor gamma",
    "SR-ARE": "antioxidant response element",
    "SR-ATAD5": "genotoxicity, by ATAD5",
    "SR-HSE": "heat shock response element",
    "SR-MMP": "mitochondrial membrane potential",
    "SR-p53": "p53, DNA damage",
}

_MUV_AIDS = "466 548 600 644 652 689 692 712 713 733 737 810 832 846 852 858 859"

_PCBA_AIDS = """
1030 1379 1452 1454 1457 1458 1460 1461 1468 1469 1471 1479 1631 1634 1688 1721 2100 2101 2147 2242 2326
2451 2517 2528 2546 2549 2551 2662 2675 2676 411 463254 485281 485290 485294 485297 485313 485314 485341
485349 485353 485360 485364 485367 492947 493208 504327 504332 504333 504339 504444 504466 504467 504706
504842 504845 504847 504891 540276 540317 588342 588453 588456 588579 588590 588591 588795 588855 602179
602233 602310 602313 602332 624170 624171 624173 624202 624246 624287 624288 624291 624296 624297 624417
651635 651644 651768 651965 652025 652104 652105 652106 686970 686978 686979 720504 720532 720542 720551
720553 720579 720580 720707 720708 720709 720711 743255 743266 875 881 883 884 885 887 891 899 902 903 904
912 914 915 924 925 926 927 938 995
"""

MUV = tuple(f"MUV-{aid}" for aid in _MUV_AIDS.split())
PCBA = tuple(f"PCBA-{aid}" for aid in _PCBA_AIDS.split())

SIDER = (
    "Hepatobiliary disorders",
    "Metabolism and nutrition disorders",
    "Product issues",
    "Eye disorders",
    "Investigations",
    "Musculoskeletal and connective tissue disorders",
    "Gastrointestinal disorders",
    "Social circumstances",
    "Immune system disorders",
    "Reproductive system and breast disorders",
    "Neoplasms benign, malignant and unspecified (incl cysts and polyps)",
    "General disorders and administration site conditions",
    "Endocrine disorders",
    "Surgical and medical procedures",
    "Vascular disorders",
    "Blood and lymphatic system disorders",
    "Skin and subcutaneous tissue disorders",
    "Congenital, familial and genetic disorders",
    "Infections and infestations",
    "Respiratory, thoracic and mediastinal disorders",
    "Psychiatric disorders",
    "Renal and urinary disorders",
    "Pregnancy, puerperium and perinatal conditions",
    "Ear and labyrinth disorders",
    "Cardiac disorders",
    "Nervous system disorders",
    "Injury, poisoning and procedural complications",
)

# Targets of MoleculeACE in the order of its own list.
MOLECULEACE = {
    "CHEMBL1871_Ki": "androgen receptor, Ki",
    "CHEMBL218_EC50": "cannabinoid receptor 1, EC50",
    "CHEMBL244_Ki": "coagulation factor X, Ki",
    "CHEMBL236_Ki": "delta opioid receptor, Ki",
    "CHEMBL234_Ki": "dopamine D3 receptor, Ki",
    "CHEMBL219_Ki": "dopamine D4 receptor, Ki",
    "CHEMBL238_Ki": "dopamine transporter, Ki",
    "CHEMBL4203_Ki": "dual specificity protein kinase CLK4, Ki",
    "CHEMBL2047_EC50": "farnesoid X receptor, EC50",
    "CHEMBL4616_EC50": "ghrelin receptor, EC50",
    "CHEMBL2034_Ki": "glucocorticoid receptor, Ki",
    "CHEMBL262_Ki": "glycogen synthase kinase-3 beta, Ki",
    "CHEMBL231_Ki": "histamine H1 receptor, Ki",
    "CHEMBL264_Ki": "histamine H3 receptor, Ki",
    "CHEMBL2835_Ki": "Janus kinase 1, Ki",
    "CHEMBL2971_Ki": "Janus kinase 2, Ki",
    "CHEMBL237_EC50": "kappa opioid receptor, EC50",
    "CHEMBL237_Ki": "kappa opioid receptor, Ki",
    "CHEMBL4792_Ki": "orexin receptor 2, Ki",
    "CHEMBL239_EC50": "peroxisome proliferator-activated receptor alpha, EC50",
    "CHEMBL3979_EC50": "peroxisome proliferator-activated receptor delta, EC50",
    "CHEMBL235_EC50": "peroxisome proliferator-activated receptor gamma, EC50",
    "CHEMBL4005_Ki": "PI3-kinase p110-alpha subunit, Ki",
    "CHEMBL2147_Ki": "serine/threonine-protein kinase PIM1, Ki",
    "CHEMBL214_Ki": "serotonin 1A receptor, Ki",
    "CHEMBL228_Ki": "serotonin transporter, Ki",
    "CHEMBL287_Ki": "sigma opioid receptor, Ki",
    "CHEMBL204_Ki": "thrombin, Ki",
    "CHEMBL1862_Ki": "tyrosine-protein kinase ABL1, Ki",
    "CHEMBL233_Ki": "mu opioid receptor, Ki",
}

_MOLECULENET = "Wu et al. 2018, MoleculeNet, Chem. Sci. 9, 513; doi:10.1039/C7SC02664A"
_BUCKET = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets"
_DEEPCHEM = "https://github.com/deepchem/deepchem/raw/fbe3b911a94a6eb8c84c1a9e7ac67a472c49ea80"
_COLLECTION = (
    "https://github.com/GLambard/Molecules_Dataset_Collection/raw/"
    "beb35cd0b76db5adef6cb1fa55807e4cd309aaed/originals"
)
_MOLECULEACE = (
    "https://github.com/molML/MoleculeACE/raw/7e6de0bd2968c56589c580f2a397f01c531ede26/"
    "MoleculeACE/Data/benchmark_data"
)
_CORONAVIRUS = "https://github.com/yangkevin2/coronavirus_data/raw/d507aac199746ddd0497ff09e2e8149c86454650"


@dataclass(frozen=True)
class Dataset:
    """A public set: where it comes from and what its table looks like.

    The table is a Parquet file ``NAME.parquet``. Columns in `numbers` are doubles, other targets and `flags`
    nullable 8-bit integers (1 active, 0 inactive, null not measured), all other columns text. Rows are those
    of the source, in its order, SMILES as written there.

    Parameters
    ----------
    name : str
        Name within molig, and of the file.
    title : str
        What it is, in one line.
    what : str
        What to know before using it.
    urls : tuple of str
        Where the source can be downloaded; the first that answers is used. All hold the same rows. An
        address that ends in a slash is a directory with the files that `members` name.
    licence : str
        Terms of the data and of the file.
    citation : tuple of str
        What to cite.
    columns : tuple of str
        Columns of the table, in order.
    targets : tuple of str
        Those to train on: classes, or measured values if they are among `numbers`.
    rows : int
        Number of rows: exact if `table_sha256` is given, otherwise the least that is accepted.
    table_sha256 : str or None
        SHA-256 of the table's content (see `content_digest`), or None where no copy was at hand to take it
        from. Then the digest of the first download is kept beside the table and holds for later ones.
    sha256 : str or None
        SHA-256 of the file behind `urls`, where its publisher states one.
    numbers : tuple of str
        Columns that are measured values.
    flags : tuple of str
        Columns of 0 and 1 that are no targets.
    smiles_column : str
        Column with the SMILES.
    aliases : tuple of (str, str)
        Names that a source may use instead, and the column that is meant.
    members : tuple of (str, str)
        For an archive or a directory: value of column `members_column` and path of the CSV file within, in
        order.
    members_column : str
        Column that says which member a row is of.
    meanings : mapping of str to str
        What targets and members stand for, where their names do not tell.

    Examples
    --------
    >>> tox21 = datasets()["tox21"]
    >>> len(tox21.targets), tox21.rows, tox21.file
    (12, 8014, 'tox21.parquet')
    """

    name: str
    title: str
    what: str
    urls: tuple[str, ...]
    licence: str
    citation: tuple[str, ...]
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    rows: int
    table_sha256: str | None = None
    sha256: str | None = None
    numbers: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    smiles_column: str = "smiles"
    aliases: tuple[tuple[str, str], ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    members_column: str = "split"
    meanings: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Name of the Parquet file."""
        return f"{self.name}.parquet"

    @property
    def is_pinned(self) -> bool:
        """Whether the expected content is known before the first download."""
        return self.table_sha256 is not None or self.sha256 is not None

    @property
    def is_long(self) -> bool:
        """Whether a label means another target in other rows, as `members_column` says."""
        return bool(set(self.meanings) & {name for name, _ in self.members})

    @property
    def has_values(self) -> bool:
        """Whether the targets are measured values rather than classes."""
        return set(self.targets) <= set(self.numbers)


_TOX21 = Dataset(
    name="tox21",
    title="Tox21: nuclear receptors and stress response, 12 assays",
    what="The 8,014 rows of DeepChem's repository; MoleculeNet's later file is documented with 7,831.",
    urls=(f"{_DEEPCHEM}/datasets/tox21.csv.gz",),
    licence="public domain (NIH/NCATS); file: MIT",
    citation=(
        _MOLECULENET,
        "Huang et al. 2016, Tox21Challenge, Front. Environ. Sci. 3, 85; doi:10.3389/fenvs.2015.00085",
    ),
    columns=("mol_id", "smiles", *TOX21),
    targets=tuple(TOX21),
    meanings=TOX21,
    rows=8_014,
    table_sha256="0ed6fed38ed95e8be37eccbb738f9593a8dc32d4a03561773737b673ee0c1d3e",
)

_MUV = Dataset(
    name="muv",
    title="MUV: confirmed actives among spatially spread decoys, 17 tasks",
    what="The 93,127 rows of DeepChem's repository; MoleculeNet's later file is documented with 93,087.",
    urls=(f"{_DEEPCHEM}/datasets/muv.csv.gz",),
    licence="public domain (NCBI PubChem); selection: free for use; file: MIT",
    citation=(
        _MOLECULENET,
        "Rohrer & Baumann 2009, MUV, J. Chem. Inf. Model. 49, 169; doi:10.1021/ci8002649",
    ),
    columns=("mol_id", "smiles", *MUV),
    targets=MUV,
    rows=93_127,
    table_sha256="dd4d0739d6cbc62aa8e93c835c0484cb77374275426caf11f5908a318bba589d",
)

_HIV = Dataset(
    name="hiv",
    title="HIV: the AIDS antiviral screen of NCI's DTP, one task",
    what="HIV_active is 1 where `activity` is CA (confirmed active) or CM (moderately active).",
    urls=(f"{_COLLECTION}/HIV.csv", f"{_BUCKET}/HIV.csv"),
    licence="public domain (NCI DTP); file: MIT",
    citation=(_MOLECULENET, "NCI DTP, AIDS Antiviral Screen Data"),
    columns=("smiles", "activity", "HIV_active"),
    targets=("HIV_active",),
    rows=41_127,
    table_sha256="2d9eb1e084f6ef1bbee167c9ffdd446c14a3e9a08a04000a40527436ba9e938b",
)

_BACE = Dataset(
    name="bace",
    title="BACE: inhibitors of human beta-secretase 1, class and pIC50",
    what="`Model` is the partition of the original authors; their 590 descriptor columns are left out.",
    urls=(f"{_COLLECTION}/bace.csv", f"{_BUCKET}/bace.csv"),
    licence="supporting information of the paper; MoleculeNet and file: MIT",
    citation=(
        _MOLECULENET,
        "Subramanian et al. 2016, J. Chem. Inf. Model. 56, 1936; doi:10.1021/acs.jcim.6b00290",
    ),
    columns=("smiles", "CID", "Class", "Model", "pIC50"),
    targets=("Class",),
    rows=1_513,
    table_sha256="ab6a390c462cfe59eb84db2eef9234631155a421a073f120bbce416d26901d08",
    numbers=("pIC50",),
    aliases=(("mol", "smiles"),),
)

_PCBA = Dataset(
    name="pcba",
    title="PCBA: 128 PubChem BioAssays, among them PCBA-588342",
    what="MoleculeNet documents 437,929 compounds; no digest is published, so the first download sets it.",
    urls=(f"{_BUCKET}/pcba.csv.gz",),
    licence="public domain (NCBI PubChem); file: MIT",
    citation=(_MOLECULENET, "Ramsundar et al. 2015, Massively Multitask Networks; arXiv:1502.02072"),
    columns=("mol_id", "smiles", *PCBA),
    targets=PCBA,
    rows=437_929,
)

_AID1706 = Dataset(
    name="hts_3clpro_aid1706",
    title="PubChem AID 1706: a whole screen against the SARS-CoV 3CL protease, one task",
    what="405 actives, as binarised by MIT AI Cures; `split` is their scaffold split (dev is called valid).",
    urls=(f"{_CORONAVIRUS}/splits.zip",),
    licence="public domain (NCBI PubChem); file: no licence stated",
    citation=(
        "PubChem BioAssay AID 1706",
        "MIT AI Cures, github.com/yangkevin2/coronavirus_data",
        "Yang et al. 2019, J. Chem. Inf. Model. 59, 3370; doi:10.1021/acs.jcim.9b00237 (splitter)",
    ),
    columns=("smiles", "activity", "split"),
    targets=("activity",),
    rows=290_726,
    table_sha256="1422b806ddebe9e51e9bf4b0e3fef87712f1b1344b72e4b06b88938817ed9909",
    members=(
        ("train", "splits/AID1706_binarized_sars_scaffold/train.csv"),
        ("valid", "splits/AID1706_binarized_sars_scaffold/dev.csv"),
        ("test", "splits/AID1706_binarized_sars_scaffold/test.csv"),
    ),
)

_BBBP = Dataset(
    name="bbbp",
    title="BBBP: passes the blood-brain barrier or not, one task",
    what="p_np is 1 for a compound that passes. Three of four do, so those that do not are rare.",
    urls=(f"{_COLLECTION}/BBBP.csv", f"{_BUCKET}/BBBP.csv"),
    licence="supporting information of the paper; file: MIT",
    citation=(
        _MOLECULENET,
        "Martins et al. 2012, J. Chem. Inf. Model. 52, 1686; doi:10.1021/ci300124c",
    ),
    columns=("num", "name", "p_np", "smiles"),
    targets=("p_np",),
    rows=2_050,
    table_sha256="f9c0a6ae7f190ac51d980bb973caa3224d64987754b9ccf638df6f99b7d42876",
)

_CLINTOX = Dataset(
    name="clintox",
    title="ClinTox: approved by the FDA, or failed in clinical trials for toxicity; two tasks",
    what=(
        "All but 18 compounds are either approved or failed, so the two tasks are nearly mirror images. "
        "DeepChem's repository has 1,491 rows; here the seven that repeat a SMILES are left out."
    ),
    urls=(f"{_COLLECTION}/clintox.csv",),
    licence="derived from public records by MoleculeNet; file: MIT",
    citation=(
        _MOLECULENET,
        "Gayvert et al. 2016, Cell Chem. Biol. 23, 1294; doi:10.1016/j.chembiol.2016.07.023",
    ),
    columns=("smiles", "FDA_APPROVED", "CT_TOX"),
    targets=("FDA_APPROVED", "CT_TOX"),
    meanings={
        "FDA_APPROVED": "approved by the FDA",
        "CT_TOX": "failed in clinical trials for toxicity",
    },
    rows=1_484,
    table_sha256="27a076e7280d5a135257a695a13abc754ce67aac73eea96a463579397a89578c",
)

_SIDER = Dataset(
    name="sider",
    title="SIDER: side effects of marketed drugs, 27 groups of MedDRA",
    what="A label is 1 if the package insert lists an effect of the group, and 0 if it does not.",
    urls=(
        f"{_COLLECTION}/sider.csv",
        f"{_DEEPCHEM}/examples/sider/sider.csv.gz",
        f"{_BUCKET}/sider.csv.gz",
    ),
    licence="terms of SIDER 4.1 (sideeffects.embl.de); file: MIT",
    citation=(
        _MOLECULENET,
        "Kuhn et al. 2016, SIDER, Nucleic Acids Res. 44, D1075; doi:10.1093/nar/gkv1075",
    ),
    columns=("smiles", *SIDER),
    targets=SIDER,
    rows=1_427,
    table_sha256="633ef1426401abb38905a0e87efe4324ecf55dc881af4ee5e1c624e54caa1ac3",
)

_ESOL = Dataset(
    name="esol",
    title="ESOL (Delaney): solubility in water, log10 of mol/l; values",
    what="ESOL_logS is what Delaney's own equation predicts, for comparison; no column to train on.",
    urls=(
        f"{_COLLECTION}/ESOL_delaney-processed.csv",
        f"{_DEEPCHEM}/datasets/delaney-processed.csv",
        f"{_BUCKET}/delaney-processed.csv",
    ),
    licence="supporting information of the paper; file: MIT",
    citation=(
        _MOLECULENET,
        "Delaney 2004, ESOL, J. Chem. Inf. Comput. Sci. 44, 1000; doi:10.1021/ci034243x",
    ),
    columns=("compound", "smiles", "logS", "ESOL_logS"),
    targets=("logS",),
    rows=1_128,
    table_sha256="c5900cddc7bdb7ff132674d1de789ae062e144523db80e5cd2cabda68b678105",
    numbers=("logS", "ESOL_logS"),
    aliases=(
        ("Compound ID", "compound"),
        ("measured log solubility in mols per litre", "logS"),
        ("ESOL predicted log solubility in mols per litre", "ESOL_logS"),
    ),
)

_FREESOLV = Dataset(
    name="freesolv",
    title="FreeSolv: free energy of hydration, kcal/mol; values",
    what="`expt` was measured; `calc` comes from a simulation, for comparison, and is no column to train on.",
    urls=(f"{_COLLECTION}/FreeSolv_SAMPL.csv",),
    licence="terms of FreeSolv (github.com/MobleyLab/FreeSolv); file: MIT",
    citation=(
        _MOLECULENET,
        "Mobley & Guthrie 2014, FreeSolv, J. Comput. Aided Mol. Des. 28, 711; doi:10.1007/s10822-014-9747-x",
    ),
    columns=("iupac", "smiles", "expt", "calc"),
    targets=("expt",),
    rows=642,
    table_sha256="ca957b374d7f3f1958a85f4f17973a052bab49d0adeafb971f2a30080414dfc2",
    numbers=("expt", "calc"),
)

_LIPOPHILICITY = Dataset(
    name="lipophilicity",
    title="Lipophilicity: log D between octanol and water at pH 7.4; values",
    what="Measured by AstraZeneca and deposited in ChEMBL. log D, not log P: ionised forms count.",
    urls=(f"{_COLLECTION}/Lipophilicity.csv", f"{_BUCKET}/Lipophilicity.csv"),
    licence="ChEMBL (CC BY-SA 3.0); file: MIT",
    citation=(_MOLECULENET, "AstraZeneca's deposition in ChEMBL, CHEMBL3301361; doi:10.6019/CHEMBL3301361"),
    columns=("CMPD_CHEMBLID", "smiles", "logD"),
    targets=("logD",),
    rows=4_200,
    table_sha256="f44ddd5c773efaf09c7f99bfcd8ef350d1d3114cd55e282c2cb118baca4387e3",
    numbers=("logD",),
    aliases=(("exp", "logD"),),
)

_MOLECULEACE_30 = Dataset(
    name="moleculeace_30",
    title="MoleculeACE: pKi or pEC50 at 30 targets of ChEMBL, rich in activity cliffs; values",
    what=(
        "A long table: `dataset` names the target, so take the rows of one, or all in turn with `molig "
        "evaluate --each-value-of dataset`. `split` is the authors', `cliff_mol` marks members of cliffs."
    ),
    urls=(f"{_MOLECULEACE}/",),
    licence="ChEMBL 29 (CC BY-SA 3.0); files: MIT",
    citation=("van Tilborg et al. 2022, J. Chem. Inf. Model. 62, 5938; doi:10.1021/acs.jcim.2c01073",),
    columns=("dataset", "smiles", "exp_mean_nM", "y_neg_log10_nM", "pActivity", "cliff_mol", "split"),
    targets=("pActivity",),
    rows=48_714,
    table_sha256="9235fc08b0db291c3bd683d12076744b6ff0ba26ac82e22e0fbe3e0532c8cc91",
    numbers=("exp_mean_nM", "y_neg_log10_nM", "pActivity"),
    flags=("cliff_mol",),
    aliases=(
        ("exp_mean [nM]", "exp_mean_nM"),
        ("y", "y_neg_log10_nM"),
        ("y [pEC50/pKi]", "pActivity"),
    ),
    members=tuple((name, f"{name}.csv") for name in MOLECULEACE),
    members_column="dataset",
    meanings=MOLECULEACE,
)

_ALL = (
    *(_TOX21, _MUV, _HIV, _BACE, _PCBA, _AID1706),
    *(_BBBP, _CLINTOX, _SIDER, _ESOL, _FREESOLV, _LIPOPHILICITY, _MOLECULEACE_30),
)


def datasets() -> dict[str, Dataset]:
    """Public data sets by name.

    Returns
    -------
    dict of str to Dataset
        In a fixed order.

    Examples
    --------
    >>> [name for name, one in datasets().items() if one.has_values]
    ['esol', 'freesolv', 'lipophilicity', 'moleculeace_30']
    """
    return {one.name: one for one in _ALL}


def known_dataset(name: str) -> Dataset:
    """One of `datasets`; an unknown name is refused with the nearest valid one."""
    known = datasets()
    if name not in known:
        raise UnknownNameError("data set", name, known)
    return known[name]
