"""Getting a set: from a publisher's file to table and record, and what is refused on the way."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_up_pcba import SMILES, TASKS, made_up_label, made_up_pcba

from molig.datasets import Dataset, datasets, get_dataset
from molig.datasets.downloads import ChecksumError, DownloadError
from molig.datasets.getting import content_digest, read_source
from molig.datasets.places import find_dataset
from molig.errors import InputError, OutputError, UnknownNameError, UsageError

SOURCE = made_up_pcba(12)


@pytest.fixture
def small_pcba(server) -> Dataset:
    """PCBA as the catalogue has it, but for the server and the number of rows."""
    server.serve("/pcba.csv.gz", SOURCE)
    return replace(datasets()["pcba"], urls=(server.url("/pcba.csv.gz"),), rows=12)


def left_over(directory):
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_table_and_record(small_pcba, cache):
    path = get_dataset(small_pcba)
    assert path == cache / "pcba.parquet" == find_dataset("pcba")
    assert left_over(cache) == ["pcba.json", "pcba.parquet"]
    table = pq.read_table(path)
    assert table.column_names == ["mol_id", "smiles", *TASKS]
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    record = json.loads((cache / "pcba.json").read_text())
    assert record["url"] == small_pcba.urls[0]
    assert record["sha256"] == hashlib.sha256(SOURCE).hexdigest()
    assert record["table_sha256"] == content_digest(table)
    assert (record["bytes"], record["rows"], record["pinned"]) == (len(SOURCE), 12, False)
    assert record["licence"] == small_pcba.licence
    assert record["date"].endswith("+00:00")


def test_what_is_there_is_not_downloaded(small_pcba, cache, server, tmp_path, monkeypatch):
    requests = server.files["/pcba.csv.gz"].requests
    first = get_dataset(small_pcba)
    assert get_dataset(small_pcba) == first
    assert len(requests) == 1
    assert get_dataset(small_pcba, force=True) == first
    assert len(requests) == 2
    other = tmp_path / "other" / "deep"
    assert get_dataset(small_pcba, other) == other / "pcba.parquet"
    assert len(requests) == 3
    monkeypatch.setenv("MOLIG_DATA_DIR", str(other))
    (cache / "pcba.parquet").unlink()
    assert get_dataset(small_pcba) == other / "pcba.parquet"
    assert len(requests) == 3


def test_interrupted_run_is_continued(small_pcba, cache, server):
    file = server.files["/pcba.csv.gz"]

    def interrupt(received, total):
        if received:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_dataset(small_pcba, progress=interrupt)
    assert left_over(cache) == ["pcba.download.part", "pcba.download.part.json"]
    part = cache / "pcba.download.part"
    part.write_bytes(part.read_bytes()[:100])
    get_dataset(small_pcba)
    assert file.requests[1]["Range"] == "bytes=100-"
    assert left_over(cache) == ["pcba.json", "pcba.parquet"]


def test_pinned_content(small_pcba, cache, server):
    digest = content_digest(pq.read_table(get_dataset(small_pcba)))
    pinned = replace(small_pcba, table_sha256=digest)
    assert get_dataset(pinned, force=True).exists()
    assert json.loads((cache / "pcba.json").read_text())["pinned"]
    # The same table packed otherwise is the same content.
    server.serve("/plain", gzip.decompress(SOURCE))
    get_dataset(pinned, url=server.url("/plain"), force=True)
    before = (cache / "pcba.parquet").read_bytes()
    server.serve("/changed", gzip.compress(gzip.decompress(SOURCE).replace(b"CCO", b"CCN", 1)))
    with pytest.raises(ChecksumError, match=rf"12 rows, 12 expected.*{digest}"):
        get_dataset(pinned, url=server.url("/changed"), force=True)
    assert (cache / "pcba.parquet").read_bytes() == before
    assert left_over(cache) == ["pcba.json", "pcba.parquet"]


def test_pinned_file(small_pcba, cache):
    pinned = replace(small_pcba, sha256="0" * 64)
    with pytest.raises(ChecksumError, match=hashlib.sha256(SOURCE).hexdigest()):
        get_dataset(pinned)
    assert left_over(cache) == []


def test_first_download_decides(small_pcba, cache, server):
    get_dataset(small_pcba)
    first = json.loads((cache / "pcba.json").read_text())["table_sha256"]
    server.serve("/pcba.csv.gz", made_up_pcba(13), etag='"two"')
    with pytest.raises(ChecksumError, match=rf"{first} at the first download.*delete .*pcba\.json"):
        get_dataset(small_pcba, force=True)
    assert pq.read_metadata(cache / "pcba.parquet").num_rows == 12
    (cache / "pcba.json").unlink()
    get_dataset(small_pcba, force=True)
    assert pq.read_metadata(cache / "pcba.parquet").num_rows == 13


@pytest.mark.parametrize("record", ["", "[]", "{}", "nonsense"])
def test_damaged_record(small_pcba, cache, record):
    cache.mkdir()
    (cache / "pcba.json").write_text(record)
    with pytest.raises(InputError, match="not the record of a download"):
        get_dataset(small_pcba)


def test_too_few_rows(small_pcba, cache):
    with pytest.raises(InputError, match="12 rows, 13 expected at least; this is not the whole of pcba"):
        get_dataset(replace(small_pcba, rows=13))
    assert left_over(cache) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (SOURCE[:-20], "damaged"),
        (SOURCE[:-8] + bytes(8), "damaged"),
        (b"<html>sign in</html>", "web page"),
        (b"smiles,mol_id\nC,a\n", "no column 'PCBA-1030'"),
        (b"", "no column 'mol_id'"),
    ],
)
def test_wrong_content_leaves_nothing(small_pcba, cache, server, content, told):
    server.serve("/pcba.csv.gz", content)
    with pytest.raises(InputError, match=told):
        get_dataset(small_pcba)
    assert left_over(cache) == []


def test_second_address_is_tried(small_pcba, cache, server):
    several = replace(small_pcba, urls=(server.url("/gone"), *small_pcba.urls))
    assert get_dataset(several) == cache / "pcba.parquet"
    assert json.loads((cache / "pcba.json").read_text())["url"] == small_pcba.urls[0]
    nowhere = replace(small_pcba, urls=(server.url("/gone"), server.url("/lost")))
    with pytest.raises(DownloadError, match=r"(?s)/gone: HTTP 404.*/lost: HTTP 404"):
        get_dataset(nowhere, force=True)


def test_redirected_address(small_pcba, cache, server):
    server.serve("/moved", redirect="/pcba.csv.gz")
    get_dataset(small_pcba, url=server.url("/moved"))
    assert find_dataset("pcba") == cache / "pcba.parquet"


def test_wrong_requests(cache):
    with pytest.raises(UnknownNameError, match="did you mean 'pcba'"):
        get_dataset("pcbas")
    with pytest.raises(UsageError):
        get_dataset("pcba", url="/tmp/pcba.csv.gz")


def test_full_disk(small_pcba, cache, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("molig.datasets.getting.pq.write_table", full)
    with pytest.raises(OutputError, match=r"pcba\.parquet: No space left on device"):
        get_dataset(small_pcba)
    assert "pcba.parquet" not in left_over(cache)
    assert not [name for name in left_over(cache) if name.endswith(".tmp")]


def test_catalogue_is_complete():
    for name, one in datasets().items():
        assert one.name == name
        assert one.urls
        assert all(urlsplit(url).scheme == "https" for url in one.urls)
        assert one.smiles_column in one.columns
        assert set(one.targets) < set(one.columns)
        assert len(set(one.columns)) == len(one.columns)
        assert all([one.title, one.what, one.licence, one.citation])
        assert {*one.numbers, *one.flags, *(meant for _, meant in one.aliases)} <= set(one.columns)
        assert not one.members or one.members_column in one.columns
        assert set(one.targets) <= set(one.numbers) or not set(one.targets) & set(one.numbers)
        assert one.table_sha256 is None or len(one.table_sha256) == 64


# Header and some rows as each publisher writes them, and what molig makes of the rows.
LAYOUTS = {
    "bbbp": (
        "num,name,p_np,smiles\n1,Propanolol,1,CC(C)NCC(O)COc1cccc2ccccc12\n2,no-name,0,CCO\n",
        [("1", "Propanolol", 1, "CC(C)NCC(O)COc1cccc2ccccc12"), ("2", "no-name", 0, "CCO")],
    ),
    "clintox": ("smiles,FDA_APPROVED,CT_TOX\nCCO,1,0\n", [("CCO", 1, 0)]),
    "sider": (
        f"smiles,{','.join(f'{chr(34)}{name}{chr(34)}' for name in datasets()['sider'].targets)}\n"
        f"CCO{',1' * 26},0\n",
        [("CCO", *[1] * 26, 0)],
    ),
    "esol": (
        "Compound ID,ESOL predicted log solubility in mols per litre,Minimum Degree,"
        "measured log solubility in mols per litre,smiles\nAmigdalin,-0.974,1,-0.77,OCC3OC \n",
        [("Amigdalin", "OCC3OC ", -0.77, -0.974)],
    ),
    "freesolv": (
        'iupac,smiles,expt,calc\n"4-methoxy-N,N-dimethyl-benzamide",CN(C)C(=O)c1ccc(cc1)OC,-11.01,-9.625\n',
        [("4-methoxy-N,N-dimethyl-benzamide", "CN(C)C(=O)c1ccc(cc1)OC", -11.01, -9.625)],
    ),
    "lipophilicity": (
        "CMPD_CHEMBLID,exp,smiles\nCHEMBL596271,3.54,Cn1ccnc1\n",
        [("CHEMBL596271", "Cn1ccnc1", 3.54)],
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_publishers_layout(name, server, cache):
    content, rows = LAYOUTS[name]
    server.serve("/source", content.encode())
    one = replace(datasets()[name], urls=(server.url("/source"),), rows=len(rows), table_sha256=None)
    frame = pd.read_parquet(get_dataset(one))
    assert tuple(frame.columns) == one.columns
    assert list(frame.itertuples(index=False, name=None)) == rows
    kinds = {"float64"} if one.has_values else {"Int8"}
    assert {str(frame[target].dtype) for target in one.targets} == kinds


class TestDirectoryOfFiles:
    """MoleculeACE is published as a file for each target."""

    HEADER = "smiles,exp_mean [nM],y,cliff_mol,split,y [pEC50/pKi]\n"

    @pytest.fixture
    def pair(self, server):
        server.serve("/ace/A_Ki.csv", f"{self.HEADER}C,10.0,-1.0,0,train,8.0\n".encode())
        server.serve("/ace/B_Ki.csv", f"{self.HEADER}N,1000.0,-3.0,1,test,6.0\n".encode())
        return replace(
            datasets()["moleculeace_30"],
            urls=(server.url("/ace/"),),
            members=(("B_Ki", "B_Ki.csv"), ("A_Ki", "A_Ki.csv")),
            rows=2,
            table_sha256=None,
        )

    def test_files_become_one_table(self, pair, cache):
        seen = []
        path = get_dataset(pair, progress=lambda received, total: seen.append((received, total)))
        frame = pd.read_parquet(path)
        assert list(frame.itertuples(index=False, name=None)) == [
            ("B_Ki", "N", 1000.0, -3.0, 6.0, 1, "test"),
            ("A_Ki", "C", 10.0, -1.0, 8.0, 0, "train"),
        ]
        assert left_over(cache) == ["moleculeace_30.json", "moleculeace_30.parquet"]
        record = json.loads((cache / "moleculeace_30.json").read_text())
        assert list(record["sha256"]) == ["B_Ki.csv", "A_Ki.csv"]
        assert seen[-1] == (record["bytes"], None)
        assert seen == sorted(seen, key=lambda each: each[0])

    def test_interrupted_run_goes_on(self, pair, cache, server):
        with pytest.raises(DownloadError, match=r"/elsewhere/B_Ki\.csv: HTTP 404"):
            get_dataset(pair, url=server.url("/elsewhere/"))

        def interrupt(received, total):
            if server.files["/ace/A_Ki.csv"].requests:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            get_dataset(pair, progress=interrupt)
        get_dataset(pair)
        assert len(server.files["/ace/B_Ki.csv"].requests) == 1
        assert left_over(cache) == ["moleculeace_30.json", "moleculeace_30.parquet"]

    def test_wrong_content_leaves_nothing(self, pair, cache):
        with pytest.raises(ChecksumError):
            get_dataset(replace(pair, table_sha256="0" * 64))
        assert left_over(cache) == []


SMALL = Dataset(
    name="small",
    title="made up",
    what="",
    urls=(),
    licence="none",
    citation=(),
    columns=("id", "smiles", "active", "pIC50"),
    targets=("active",),
    rows=1,
    numbers=("pIC50",),
    aliases=(("mol", "smiles"),),
)
GOOD = b"pIC50,active,smiles,id\n9.1549015,1,CCO,a\n,,C,b\n5,0.0,N,c\n"
PACKED = gzip.compress(GOOD, mtime=0)  # the time of day would name the cases differently in each worker


@pytest.fixture
def read(tmp_path):
    def run(content, dataset=SMALL):
        path = tmp_path / "source"
        path.write_bytes(content)
        return read_source(path, dataset)

    return run


def test_columns_come_in_the_order_of_the_set(read):
    table = read(GOOD)
    assert table.column_names == ["id", "smiles", "active", "pIC50"]
    assert [str(kind) for kind in table.schema.types] == ["large_string", "large_string", "int8", "double"]
    assert table.column("active").to_pylist() == [1, None, 0]
    assert table.column("smiles").to_pylist() == ["CCO", "C", "N"]
    assert table.column("pIC50").to_pylist()[0] == 9.1549015


def test_pandas_reads_labels_as_nullable_integers(read, tmp_path):
    pq.write_table(read(GOOD), tmp_path / "small.parquet")
    frame = pd.read_parquet(tmp_path / "small.parquet")
    assert [str(kind) for kind in frame.dtypes[1:]] == [str(pd.Series(dtype="str").dtype), "Int8", "float64"]
    assert list(frame.index) == [0, 1, 2]


@pytest.mark.parametrize("change", ["gzip", "crlf", "bom", "more", "alias", "quoted"])
def test_other_spellings_are_the_same_table(read, change):
    other = {
        "gzip": PACKED,
        "crlf": GOOD.replace(b"\n", b"\r\n"),
        "bom": b"\xef\xbb\xbf" + GOOD,
        "more": b"\n".join(line + b",x" for line in GOOD.splitlines()) + b"\n",
        "alias": GOOD.replace(b"smiles", b"mol"),
        "quoted": GOOD.replace(b"CCO", b'"CCO"').replace(b"smiles", b'"smiles"'),
    }[change]
    assert content_digest(read(other)) == content_digest(read(GOOD))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (GOOD.replace(b"active", b"actives"), r"no column 'active' \(columns: pIC50, actives, smiles, id\)"),
        (GOOD.replace(b"smiles", b"SMILES"), "no column 'smiles'"),
        (GOOD.replace(b"0.0", b"2"), "column 'active' holds 2 in row 3"),
        (GOOD.replace(b"0.0", b"0.5"), r"column 'active' holds 0\.5 in row 3"),
        (GOOD.replace(b"0.0", b"yes"), "yes"),
        (GOOD.replace(b"CCO", b""), "no SMILES"),
        (GOOD + b"1,2\n", "small: "),
        (b"<!DOCTYPE html>\n<html></html>\n", "web page"),
        (b"", "no column 'id'"),
        (b"\xff\xfe\x00\x01", "no column 'id'"),
        (GOOD.replace(b"CCO", b"C\xffO"), "small: "),
        (PACKED[:-9], "damaged"),
        (PACKED[:-8] + b"12345678", "damaged"),
        (PACKED[:30] + b"\xff" * 20, "damaged"),
        (b"\x1f\x8b no gzip", "damaged"),
    ],
)
def test_what_is_refused(read, content, told):
    with pytest.raises(InputError, match=told):
        read(content)


def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.csv", content)
    return buffer.getvalue()


ARCHIVED = replace(
    SMALL,
    columns=("smiles", "active", "split"),
    numbers=(),
    members=(("train", "a.csv"), ("valid", "b.csv")),
)


def test_archive_of_parts(read):
    table = read(archive(b="smiles,active\nC,1\n", a="smiles,active\nN,0\nO,1\n"), ARCHIVED)
    assert table.to_pydict() == {
        "smiles": ["N", "O", "C"],
        "active": [0, 1, 1],
        "split": ["train", "train", "valid"],
    }


def test_archive_that_is_none_or_lacks_a_part(read):
    with pytest.raises(InputError, match=r"no member 'b\.csv'"):
        read(archive(a="smiles,active\nC,1\n"), ARCHIVED)
    with pytest.raises(InputError, match="no ZIP archive"):
        read(GOOD, ARCHIVED)
    whole = archive(a="smiles,active\nC,1\n", b="smiles,active\nC,1\n")
    for broken in (whole[:-30], whole.replace(b"C,1", b"C,0", 1)):
        with pytest.raises(InputError, match="damaged"):
            read(broken, ARCHIVED)


def test_made_up_pcba(read):
    table = read(made_up_pcba(7), datasets()["pcba"])
    assert table.column_names == ["mol_id", "smiles", *TASKS]
    assert "PCBA-588342" in TASKS
    assert len(TASKS) == 128
    for task, name in enumerate(TASKS):
        assert table.column(name).to_pylist() == [made_up_label(row, task) for row in range(7)]
    assert table.column("smiles").to_pylist() == [SMILES[row % len(SMILES)] for row in range(7)]
    assert {str(kind) for kind in table.schema.types[2:]} == {"int8"}


ROWS = st.lists(
    st.tuples(
        st.text("CNOcn()=#1@+-[]\\/", min_size=1), st.sampled_from([0, 1, None]), st.floats(allow_nan=False)
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40)
@given(rows=ROWS)
def test_every_value_arrives(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("source") / "a.csv"
    frame = pd.DataFrame(
        {
            "id": [str(i) for i in range(len(rows))],
            "smiles": [row[0] for row in rows],
            "active": pd.array([row[1] for row in rows], dtype="Int8"),
            "pIC50": np.array([row[2] for row in rows]),
        }
    )
    frame.to_csv(path, index=False)
    table = read_source(path, SMALL)
    assert table.column("smiles").to_pylist() == list(frame["smiles"])
    assert table.column("active").to_pylist() == [row[1] for row in rows]
    assert table.column("pIC50").to_pylist() == [row[2] for row in rows]


def test_digest_tells_values_columns_and_order_apart():
    one = pa.table({"a": ["x", "y"], "b": pa.array([1, None], pa.int8()), "c": [0.5, None]})
    others = [
        one.slice(0, 1),
        one.take([1, 0]),
        one.select(["b", "a", "c"]),
        one.rename_columns(["a", "b", "d"]),
        one.set_column(0, "a", pa.array(["xy", ""])),
        one.set_column(1, "b", pa.array([1, 0], pa.int8())),
        one.set_column(2, "c", pa.array([0.5, 0.0])),
    ]
    digests = {content_digest(table) for table in [one, *others]}
    assert len(digests) == 1 + len(others)


def test_digest_of_a_small_table():
    """Computed anew it would meet no digest of the catalogue."""
    one = pa.table({"smiles": ["C", "CC"], "active": pa.array([1, None], pa.int8())})
    content = b"smiles\0C\nCC\0" + b"active\0\x01\xff\0"
    assert content_digest(one) == hashlib.sha256(content).hexdigest()
    assert content_digest(one).startswith("b50425d9bc64")


def test_digest_does_not_mind_how_it_is_stored():
    one = pa.table({"a": ["x", "y"], "b": pa.array([1, None], pa.int8()), "c": [0.5, None]})
    large = one.set_column(0, "a", one.column("a").cast(pa.large_string()))
    pieces = pa.concat_tables([one.slice(0, 1), one.slice(1, 1)])
    assert len({content_digest(table) for table in (one, large, pieces)}) == 1


@pytest.mark.data
@pytest.mark.parametrize("name", ["bace", "hiv", "tox21"])
def test_real_tables_survive_their_publishers_layout(data_dir, tmp_path, name):
    """Written as the publisher writes them, they come back as the very file, types and digest alike."""
    dataset = datasets()[name]
    shared = pq.read_table(data_dir / dataset.file)
    frame = shared.to_pandas()
    moved = frame[[*dataset.targets, *(c for c in frame.columns if c not in dataset.targets)]]
    moved.to_csv(tmp_path / "source.csv.gz", index=False)
    table = read_source(tmp_path / "source.csv.gz", dataset)
    assert content_digest(table) == dataset.table_sha256
    assert table.schema.equals(shared.schema)
    pq.write_table(table, tmp_path / dataset.file, compression="zstd")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / dataset.file), frame)


@pytest.mark.data
def test_moleculeace_survives_its_publishers_layout(data_dir, tmp_path):
    dataset = datasets()["moleculeace_30"]
    shared = pq.read_table(data_dir / dataset.file)
    frame = shared.to_pandas().rename(columns={meant: other for other, meant in dataset.aliases})
    for name, rows in frame.groupby("dataset"):
        rows.drop(columns="dataset").to_csv(tmp_path / f"{name}.csv", index=False)
    table = read_source(tmp_path, dataset)
    assert content_digest(table) == dataset.table_sha256
    assert table.schema.equals(shared.schema)


@pytest.mark.data
@pytest.mark.parametrize("name", ["tox21", "muv", "hiv", "bace", "hts_3clpro_aid1706", "moleculeace_30"])
def test_catalogue_describes_the_shared_tables(data_dir, name):
    dataset = datasets()[name]
    table = pq.read_table(data_dir / dataset.file)
    assert content_digest(table) == dataset.table_sha256
    assert (tuple(table.column_names), table.num_rows) == (dataset.columns, dataset.rows)
