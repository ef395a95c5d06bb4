"""The public data sets that molig knows how to get."""

from __future__ import annotations

from dataclasses import dataclass

from molig.errors import UnknownNameError

# Task names of the larger sets, in the order of their columns.

TOX21 = (
    *("NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma"),
    *("SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53"),
)

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


_MOLECULENET = "Wu et al. 2018, MoleculeNet, Chem. Sci. 9, 513; doi:10.1039/C7SC02664A"
_BUCKET = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets"
_DEEPCHEM = "https://github.com/deepchem/deepchem/raw/fbe3b911a94a6eb8c84c1a9e7ac67a472c49ea80/datasets"
_COLLECTION = (
    "https://github.com/GLambard/Molecules_Dataset_Collection/raw/"
    "beb35cd0b76db5adef6cb1fa55807e4cd309aaed/originals"
)
_CORONAVIRUS = "https://github.com/yangkevin2/coronavirus_data/raw/d507aac199746ddd0497ff09e2e8149c86454650"


@dataclass(frozen=True)
class Dataset:
    """A public set: where it comes from and what its table looks like.

    The table is a Parquet file ``NAME.parquet``. Targets are nullable 8-bit integers (1 active, 0 inactive,
    null not measured), `numbers` are doubles, all other columns text. Rows are those of the source, in its
    order, SMILES as written there.

    Parameters
    ----------
    name : str
        Name within molig, and of the file.
    title : str
        What it is, in one line.
    what : str
        What to know before using it.
    urls : tuple of str
        Where the source can be downloaded; the first that answers is used. All hold the same rows.
    licence : str
        Terms of the data and of the file.
    citation : tuple of str
        What to cite.
    columns : tuple of str
        Columns of the table, in order.
    targets : tuple of str
        Those to train on.
    rows : int
        Number of rows: exact if `table_sha256` is given, otherwise the least that is accepted.
    table_sha256 : str or None
        SHA-256 of the table's content (see `content_digest`), or None where no copy was at hand to take it
        from. Then the digest of the first download is kept beside the table and holds for later ones.
    sha256 : str or None
        SHA-256 of the file behind `urls`, where its publisher states one.
    numbers : tuple of str
        Columns that are measured values.
    smiles_column : str
        Column with the SMILES.
    aliases : tuple of (str, str)
        Names that a source may use instead, and the column that is meant.
    members : tuple of (str, str)
        For an archive: value of column ``split`` and path of the CSV file within, in order.

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
    smiles_column: str = "smiles"
    aliases: tuple[tuple[str, str], ...] = ()
    members: tuple[tuple[str, str], ...] = ()

    @property
    def file(self) -> str:
        """Name of the Parquet file."""
        return f"{self.name}.parquet"

    @property
    def is_pinned(self) -> bool:
        """Whether the expected content is known before the first download."""
        return self.table_sha256 is not None or self.sha256 is not None


_TOX21 = Dataset(
    name="tox21",
    title="Tox21: nuclear receptors and stress response, 12 assays",
    what="The 8,014 rows of DeepChem's repository; MoleculeNet's later file is documented with 7,831.",
    urls=(f"{_DEEPCHEM}/tox21.csv.gz",),
    licence="public domain (NIH/NCATS); file: MIT",
    citation=(
        _MOLECULENET,
        "Huang et al. 2016, Tox21Challenge, Front. Environ. Sci. 3, 85; doi:10.3389/fenvs.2015.00085",
    ),
    columns=("mol_id", "smiles", *TOX21),
    targets=TOX21,
    rows=8_014,
    table_sha256="0ed6fed38ed95e8be37eccbb738f9593a8dc32d4a03561773737b673ee0c1d3e",
)

_MUV = Dataset(
    name="muv",
    title="MUV: confirmed actives among spatially spread decoys, 17 tasks",
    what="The 93,127 rows of DeepChem's repository; MoleculeNet's later file is documented with 93,087.",
    urls=(f"{_DEEPCHEM}/muv.csv.gz",),
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

_ALL = (_TOX21, _MUV, _HIV, _BACE, _PCBA, _AID1706)


def datasets() -> dict[str, Dataset]:
    """Public data sets by name.

    Returns
    -------
    dict of str to Dataset
        In a fixed order.

    Examples
    --------
    >>> list(datasets())
    ['tox21', 'muv', 'hiv', 'bace', 'pcba', 'hts_3clpro_aid1706']
    """
    return {one.name: one for one in _ALL}


def known_dataset(name: str) -> Dataset:
    """One of `datasets`; an unknown name is refused with the nearest valid one."""
    known = datasets()
    if name not in known:
        raise UnknownNameError("data set", name, known)
    return known[name]
