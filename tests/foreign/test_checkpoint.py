"""Files of torch are read without running anything that they name, whatever they hold."""

from __future__ import annotations

import collections
import io
import json
import os
import pickletools
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from foreign.chemprop_models import ODD
from molig.errors import InputError, ModelFormatError, MoligError
from molig.foreign import load_chemprop
from molig.foreign.checkpoint import StoredTensor, read_checkpoint

HERE = Path(__file__).parent
SMALL = HERE / "small.pt"


@pytest.fixture
def saved(tmp_path):
    """Save something with torch and read it."""

    def save_and_read(content, **options):
        torch.save(content, tmp_path / "file.pt", **options)
        return read_checkpoint(tmp_path / "file.pt").content

    return save_and_read


def members(path=SMALL):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


PROGRAM = members()["small/data.pkl"]


def written(path, parts, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def program(path, code):
    """A checkpoint whose pickle is another one."""
    return written(path, members() | {"small/data.pkl": code})


@pytest.mark.parametrize("name", ["small.pt", "small.ckpt"])
def test_committed_files(name):
    model = load_chemprop(HERE / name)
    expected = json.loads((HERE / "small.json").read_text())[name]
    assert model.tasks == (("first", "second") if name == "small.pt" else ("pred_0",))
    graphs = model.featurize([Chem.MolFromSmiles(smiles) for smiles in ODD])
    np.testing.assert_allclose(model.score_graphs(graphs), expected, rtol=1e-5, atol=1e-5)


# Tensors.


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
def test_types(dtype, saved):
    tensor = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, dtype))
    found = saved({"t": tensor})["t"]
    assert found.shape == (2, 3)
    np.testing.assert_array_equal(found.array(), tensor.numpy())


def test_bfloat16(saved):
    tensor = torch.tensor([1.5, -3.25, 1e30]).bfloat16()
    np.testing.assert_array_equal(saved({"t": tensor})["t"].array(), tensor.float().numpy())


def test_views_share_their_storage(saved):
    whole = torch.arange(12.0).reshape(3, 4)
    found = saved({"whole": whole, "part": whole[1:, ::2], "turned": whole.T, "same": whole})
    arrays = {name: tensor.array() for name, tensor in found.items()}
    np.testing.assert_array_equal(arrays["part"], whole[1:, ::2])
    np.testing.assert_array_equal(arrays["turned"], whole.T)
    assert np.shares_memory(arrays["whole"], arrays["part"])
    assert not arrays["whole"].flags.writeable


def test_parameters_and_scalars(saved):
    found = saved({"p": torch.nn.Parameter(torch.ones(2)), "n": torch.tensor(3.0), "none": torch.ones(0, 3)})
    assert found["n"].array() == 3
    assert found["p"].array().tolist() == [1, 1]
    assert found["none"].array().shape == (0, 3)


def test_types_without_a_storage_of_their_own(saved):
    """Torch writes these as bytes and names the type apart."""
    for dtype in ("uint16", "uint32", "uint64"):
        tensor = torch.tensor([[1, 2, 3], [4, 5, 60_000]]).to(getattr(torch, dtype))
        found = saved({"t": tensor[:, 1:]})["t"].array()
        np.testing.assert_array_equal(found, tensor[:, 1:].numpy())
    with pytest.raises(ModelFormatError, match=r"torch\.float8_e4m3fn"):
        saved({"t": torch.ones(2).to(torch.float8_e4m3fn)})


def test_names_of_version_2_0(tmp_path):
    """Losses had a module of their own, which later Chemprop cannot import."""
    parts = members(HERE / "small.ckpt")
    old = parts["archive/data.pkl"].replace(b"cchemprop.nn.metrics\n", b"cchemprop.nn.loss\n")
    assert old != parts["archive/data.pkl"]
    found = load_chemprop(written(tmp_path / "old.pt", parts | {"archive/data.pkl": old}))
    expected = load_chemprop(HERE / "small.ckpt").predict(["CCO"]).scores
    np.testing.assert_array_equal(found.predict(["CCO"]).scores, expected)


def test_plain_data(saved):
    content = {
        "a": [1, -2, 2**70, 1.5, None, True, "text", b"bytes"],
        "b": ({"x": ()}, (1, 2, 3, 4)),
        "c": collections.OrderedDict(k=1),
        "d": {1: "one", 2.5: "two"},
        "e": collections.defaultdict(list, k=[1]),
        "s": torch.Size([2, 3]),
    }
    for protocol in (2, 3, 4, 5):
        found = saved(content, pickle_protocol=protocol)
        assert found["a"][:7] == content["a"][:7]
        assert found["b"] == content["b"]
        assert found["c"] == {"k": 1}
        assert found["d"] == content["d"]
        assert found["e"] == {"k": [1]}
        assert found["s"] == (2, 3)


def test_big_endian(tmp_path):
    content = {
        "f": torch.tensor([1.5, -2.25]),
        "i": torch.tensor([7, -8]),
        "b": torch.tensor([1.5]).bfloat16(),
    }
    torch.save(content, tmp_path / "t.pt")
    parts = members(tmp_path / "t.pt")
    for key, width in enumerate((4, 8, 2)):
        turned = np.frombuffer(parts[f"t/data/{key}"], f"<u{width}").astype(f">u{width}")
        parts[f"t/data/{key}"] = turned.tobytes()
    found = read_checkpoint(written(tmp_path / "t.pt", parts | {"t/byteorder": b"big"})).content
    assert [found[k].array().tolist() for k in "fib"] == [[1.5, -2.25], [7, -8], [1.5]]
    assert all(found[k].array().dtype.isnative for k in "fib")
    with pytest.raises(ModelFormatError, match="byte order b'middle'"):
        read_checkpoint(written(tmp_path / "t.pt", parts | {"t/byteorder": b"middle"}))


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.eye(2).to_sparse_csr(), "sparse"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized"),
        (torch.ones(2, dtype=torch.complex64), "complex"),
        (torch.ones(2, device="meta"), "of a kind that is not read"),
    ],
    ids=["sparse", "csr", "quantized", "complex", "meta"],
)
def test_other_tensors_are_refused(tensor, words, saved):
    with pytest.raises(ModelFormatError, match=words):
        saved({"t": tensor})


# Hostile files.


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(marker):
    command = f"touch {marker}"
    return {
        "os.system": Call(os.system, command),
        "eval": Call(eval, f"__import__('os').system({command!r})"),
        "exec": Call(exec, f"import os; os.system({command!r})"),
        "getattr": Call(getattr, "x", "upper"),
        "open": Call(open, str(marker), "w"),
        "import": Call(__import__, "antigravity"),
        "torch.load": Call(torch.load, str(marker)),
        "partial": Call(__import__("functools").partial, os.system, command),
    }


@pytest.mark.parametrize("name", list(hostile("x")))
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("inside", [False, True], ids=["whole", "inside"])
def test_nothing_runs(name, protocol, inside, tmp_path, saved):
    marker = tmp_path / "ran"
    payload = hostile(marker)[name]
    content = {"hyper_parameters": {"metrics": [payload]}, "state_dict": {}} if inside else payload
    with pytest.raises(ModelFormatError, match=r"file\.pt: it names .*Nothing was run"):
        saved(content, pickle_protocol=protocol)
    assert not marker.exists()


def test_global_is_named(tmp_path):
    code = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."
    with pytest.raises(ModelFormatError, match=r"evil\.pt: it names posix\.system, which no Chemprop"):
        read_checkpoint(program(tmp_path / "evil.pt", code))


@pytest.mark.parametrize(
    "code",
    [
        b"\x80\x02ccopyreg\n_reconstructor\n.",
        b"\x80\x02cchemprop.nn.metrics.os\nsystem\n.",  # a module below an allowed one
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02ctorch.nn.modules.activation.__builtins__\neval\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02X\x02\x00\x00\x00os\x93.",
        b"\x80\x02\x82\x01.",  # the registry of extensions
        b"(S'os'\nios\nsystem\n.",
        b"\x80\x02c__main__\nMetric\n.",
        b"\x80\x04\x8c\x0bcollections\x8c\x13OrderedDict.__init__\x93.",
    ],
)
def test_names_and_ways_outside_the_list(code, tmp_path):
    with pytest.raises(ModelFormatError, match=r"evil\.pt"):
        read_checkpoint(program(tmp_path / "evil.pt", code))


def test_inert_names_stay_inert(tmp_path):
    """What is made from an allowed name is data: no class is looked up, however odd its arguments."""
    code = b"\x80\x02}X\x01\x00\x00\x00acchemprop.nn.metrics\nsystem\nX\x04\x00\x00\x00true\x85Rs."
    found = read_checkpoint(program(tmp_path / "inert.pt", code)).content["a"]
    assert (found.name, found.arguments) == ("chemprop.nn.metrics.system", ("true",))


def nested(n):
    return b"\x80\x02" + b"N" + b"\x85" * n + b"."


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b".", id="stop alone"),
        pytest.param(b"\x80\x02(.", id="mark alone"),
        pytest.param(b"\x80\x02N.", id="none"),
        pytest.param(b"\x80\x02}", id="no stop"),
        pytest.param(b"\x80\x02h\x05.", id="unknown memory"),
        pytest.param(b"\x80\x02}(K\x01s.", id="odd items"),
        pytest.param(b"\x80\x02}}K\x01s.", id="dictionary as key"),
        pytest.param(nested(100_000), id="deeply nested"),
        pytest.param(b"\x80\x02}" + b"N" + b"\x85" * 5000 + b"K\x01s.", id="nested key"),
        # t = (t, t) fifty times: to hash it would take 2^50 steps.
        pytest.param(b"\x80\x02}N" + b"q\x00h\x00\x86" * 50 + b"K\x01s.", id="key of many parts"),
        pytest.param(b"\x80\x02\x8b\xff\xff\xff\x7f.", id="huge number"),
        pytest.param(b"\x80\x02X\xff\xff\xff\x7fabc.", id="huge text"),
        pytest.param(b"\x80\x02K\x01K\x01R.", id="call of a number"),
        pytest.param(b"\x80\x02]K\x01\x85R.", id="call of a list"),
        pytest.param(b"\x80\x02K\x01}b.", id="state of a number"),
        pytest.param(b"\x80\x02K\x01Q.", id="storage that is a number"),
    ],
)
def test_broken_programs(code, tmp_path):
    with pytest.raises(ModelFormatError, match=r"broken\.pt: "):
        read_checkpoint(program(tmp_path / "broken.pt", code))


def test_memory_is_not_reserved(tmp_path):
    """An index of 4 billion costs one entry; Python's own unpickler would ask for 32 GB."""
    code = b"\x80\x02}r\xff\xff\xff\xff."
    assert read_checkpoint(program(tmp_path / "far.pt", code)).content == {}


def tensor_program(size, stride, offset=0, n=4, key=b"0"):
    """A dictionary with one tensor of a storage of n values."""

    def numbers(values):
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", v) for v in values) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX" + struct.pack("<I", len(key)) + key
        + b"X\x03\x00\x00\x00cpuJ" + struct.pack("<i", n) + b"tQ"
    )  # fmt: skip
    whole = storage + b"\x8a\x08" + struct.pack("<q", offset) + numbers(size) + numbers(stride)
    return b"\x80\x02}X\x01\x00\x00\x00tctorch._utils\n_rebuild_tensor_v2\n(" + whole + b"\x89}tRs."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((2, 3), (3, 1)), "needs more numbers"),
        (((4,), (1,), 1), "needs more numbers"),
        (((4,), (-1,), 3), "impossible shape"),
        (((-4,), (1,)), "impossible shape"),
        (((2**40,), (0,)), "impossible shape"),
        (((2**20, 2**20), (0, 0)), "needs more numbers"),
        (((4,), (1, 1)), "do not fit together"),
        (((1,) * 60, (1,) * 60), "do not fit together"),
        (((4,), (1,), -8), "impossible shape"),
    ],
)
def test_tensors_outside_their_storage(arguments, words, tmp_path):
    with pytest.raises(ModelFormatError, match=words):
        read_checkpoint(program(tmp_path / "t.pt", tensor_program(*arguments)))


def test_storages_of_another_size(tmp_path):
    parts = members() | {"small/data/0": b"\0" * 16}
    path = written(tmp_path / "t.pt", parts | {"small/data.pkl": tensor_program((4,), (1,))})
    assert read_checkpoint(path).content["t"].array().tolist() == [0] * 4
    for code, words in (
        (tensor_program((4,), (1,), n=5), "16 bytes instead of 5 values of 4"),
        (tensor_program((4,), (1,), key=b"77"), "data/77 is missing"),
        (tensor_program((4,), (1,), key=b"../0"), "damaged"),
    ):
        with pytest.raises(ModelFormatError, match=words):
            read_checkpoint(written(path, parts | {"small/data.pkl": code})).content["t"].array()


@pytest.mark.parametrize(
    "bomb", [b"N" + b"q\x00h\x00\x86" * 50, b"N" + b"\x85" * 100_000], ids=["wide", "deep"]
)
@pytest.mark.parametrize("setting", ["depth", "norm"])
def test_settings_without_end(setting, bomb, tmp_path):
    """A setting of 2^50 parts, or nested 100,000 deep, is refused without being written out."""
    found = list(pickletools.genops(PROGRAM))
    key = next(i for i, (_, argument, _) in enumerate(found) if argument == setting)
    start, stop = found[key + 2][2], found[key + 3][2]  # behind the key it is put into the memory
    code = PROGRAM[:start] + bomb + PROGRAM[stop:]
    with pytest.raises(ModelFormatError, match=rf"bomb\.pt: .*{setting} must be a .*got a tuple"):
        load_chemprop(program(tmp_path / "bomb.pt", code))


# Damaged files.


def test_truncated(tmp_path):
    whole = SMALL.read_bytes()
    for n in (0, 1, 10, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pt").write_bytes(whole[:n])
        with pytest.raises(ModelFormatError, match=r"cut\.pt.*(cut short or damaged|not a file of torch)"):
            read_checkpoint(tmp_path / "cut.pt")


def test_no_zip_of_torch(tmp_path):
    with pytest.raises(ModelFormatError, match="torch did not write it"):
        read_checkpoint(written(tmp_path / "x.pt", {"a.txt": b"hello"}))
    with pytest.raises(ModelFormatError, match="is compressed"):
        read_checkpoint(written(tmp_path / "small.pt", members(), zipfile.ZIP_DEFLATED))


def test_no_model(tmp_path):
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(ModelFormatError, match="no dictionary"):
        read_checkpoint(tmp_path / "list.pt")
    torch.save({"a": 1}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelFormatError, match=r"chemprop convert --conversion v1_to_v2"):
        read_checkpoint(tmp_path / "old.pt")


def test_no_file(tmp_path):
    with pytest.raises(InputError, match=r"no\.pt cannot be read"):
        read_checkpoint(tmp_path / "no.pt")
    with pytest.raises(MoligError, match=str(tmp_path)):
        read_checkpoint(tmp_path)


def test_flipped_bit_in_weights(tmp_path):
    whole = bytearray(SMALL.read_bytes())
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        start = archive.getinfo("small/data/3").header_offset
    name_length, extra_length = struct.unpack_from("<HH", whole, start + 26)
    whole[start + 30 + name_length + extra_length] ^= 1
    (tmp_path / "flipped.pt").write_bytes(whole)
    with pytest.raises(ModelFormatError, match=r"data/3 is damaged"):
        load_chemprop(tmp_path / "flipped.pt")


def read_or_refused(path):
    """No other error than one that names the file."""
    refused = ""
    try:
        load_chemprop(path)
    except MoligError as error:
        refused = str(error)
    assert not refused or path.name in refused


@settings(max_examples=150)
@given(place=st.integers(0, len(PROGRAM) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_any_program_is_read_or_refused(place, value, cut, tmp_path_factory):
    changed = PROGRAM[:place] + bytes([value]) + (b"" if cut else PROGRAM[place + 1 :])
    path = program(tmp_path_factory.getbasetemp() / "changed.pt", changed)
    read_or_refused(path)


@settings(max_examples=100)
@given(place=st.integers(0, len(SMALL.read_bytes()) - 1), value=st.integers(0, 255))
def test_any_file_is_read_or_refused(place, value, tmp_path_factory):
    whole = bytearray(SMALL.read_bytes())
    whole[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.pt"
    path.write_bytes(whole)
    read_or_refused(path)


def test_stored_tensor_is_lazy(saved):
    assert isinstance(saved({"t": torch.ones(3)})["t"], StoredTensor)
