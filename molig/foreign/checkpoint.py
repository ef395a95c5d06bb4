"""Files that torch wrote, read without running anything they name.

Such a file is a zip: numbers in ``data/0``, ``data/1``, ..., and a pickle that says what they belong to. A
pickle is a program, so it is not unpickled: a small machine follows its instructions and knows a fixed list
of names. What a name stands for is never imported. A tensor becomes a `StoredTensor`, an object a `Held`,
which is a name with data; a name outside the list ends the reading.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from molig.errors import InputError, ModelFormatError
from molig.files import read_regular

Array = npt.NDArray[Any]

LARGEST_FILE = 4_000_000_000
"""Largest file that is read, in bytes; networks of this kind have 1 to 100 MB."""

_LARGEST_PROGRAM = 64_000_000
_LARGEST_TENSOR = 2**31
_MOST_AXES = 32
_LONGEST_SHOWN = 80

_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "bfloat16",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "uint16": "u2",
    "uint32": "u4",
    "uint64": "u8",
    "bool": "?",
}

# Rooms of Chemprop and torch whose classes hold settings and nothing that a score needs to run.
_MODULES = (
    "chemprop.args",
    "chemprop.featurizers.atom",
    "chemprop.models.model",
    "chemprop.models.mol_atom_bond",
    "chemprop.models.multi",
    "chemprop.nn.agg",
    "chemprop.nn.ffn",
    "chemprop.nn.loss",
    "chemprop.nn.message_passing.base",
    "chemprop.nn.message_passing.mol_atom_bond",
    "chemprop.nn.message_passing.multi",
    "chemprop.nn.metrics",
    "chemprop.nn.predictors",
    "chemprop.nn.transforms",
    "chemprop.nn.utils",
    "torch.nn.modules.activation",
    "torchmetrics.metric",
    "torchmetrics.regression.r2",
    "torchmetrics.utilities.data",
)
_NAMES = {
    *(
        f"{module}.{name}"
        for module in ("__builtin__", "builtins")
        for name in ("dict", "int", "list", "set")
    ),
    "_codecs.encode",
    "argparse.Namespace",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "torch.Size",
    "torch.Tensor",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch.device",
    "torch.nn.modules.linear.Identity",
    "torch.nn.parameter.Parameter",
    "torch.storage.UntypedStorage",
    *(f"torch.{name}" for name in (*_STORAGES, *_DTYPES)),
}
_DICTS = {
    name for name in _NAMES if name.endswith(("OrderedDict", "defaultdict", "Counter", "AttributeDict"))
}
_OTHER_TENSORS = ("sparse", "qtensor", "quantized", "meta_tensor", "subclass", "Quant", "Complex")


@dataclass(frozen=True)
class Name:
    """A global that a file names; it stands for nothing but itself."""

    full: str


@dataclass
class Held:
    """An object of a file: the name of its class, what it was made from, and its state."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    n_values: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file, whose numbers are read when they are asked for."""

    shape: tuple[int, ...]
    _read: Callable[[], Array]

    def array(self) -> Array:
        """The numbers, as a view of what all tensors of the same storage share.

        Raises
        ------
        ModelFormatError
            If they are missing, of another size, or lie outside their storage.
        """
        return self._read()


@dataclass(frozen=True)
class Checkpoint:
    """What a file of Chemprop or Lightning holds.

    Parameters
    ----------
    path : Path
        The file.
    content : dict
        Everything, by the names that the file uses.
    """

    path: Path
    content: dict[str, Any]

    def wrong(self, problem: str) -> ModelFormatError:
        """The error to raise, which names the file."""
        return ModelFormatError(f"{self.path}: {problem}")


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file that `torch.save` wrote; nothing in it is run or imported.

    Parameters
    ----------
    path : str or Path
        A ``.pt`` or ``.ckpt`` file.

    Returns
    -------
    Checkpoint

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.
    ModelFormatError
        If it is cut short or damaged, holds a kind of tensor or instruction that no Chemprop model needs, or
        names a global outside the list of this module.
    """
    path = Path(path)
    try:
        data = read_regular(path, LARGEST_FILE)
    except OSError as err:
        raise InputError(f"{path} cannot be read: {err.strerror or err}") from err
    except ValueError as err:
        raise ModelFormatError(f"{path} is no checkpoint: {err}") from err
    archive = _Archive(path, data)
    content = _Machine(archive).run()
    if not isinstance(content, dict):
        raise archive.wrong("it holds no dictionary, so it is no checkpoint of a model")
    return Checkpoint(path, content)


class _Archive:
    """The members of the zip, each of the size that it states."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        if not data.startswith(b"PK\x03\x04"):
            raise self.wrong(
                "it is not a file of torch 1.6 or later (those are zip archives); if it is a Chemprop "
                "v1 model, `chemprop convert --conversion v1_to_v2 -i OLD.pt -o NEW.pt` makes a new one"
            )
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as err:
            raise self.wrong(f"the file is cut short or damaged ({err})") from err
        programs = [name for name in self._zip.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(programs) != 1:
            raise self.wrong("it is a zip archive, but torch did not write it (it has no data.pkl)")
        self._folder = programs[0].removesuffix("data.pkl")
        self.program = self.member("data.pkl", _LARGEST_PROGRAM)
        order = self.member("byteorder", 16).strip() if self._has("byteorder") else b"little"
        if order not in {b"little", b"big"}:
            raise self.wrong(f"it states the byte order {order[:16]!r}, which is neither little nor big")
        self.order: Literal["<", ">"] = "<" if order == b"little" else ">"
        self._storages: dict[_Storage, Array] = {}

    def wrong(self, problem: str) -> ModelFormatError:
        return ModelFormatError(f"{self.path}: {problem}")

    def _has(self, name: str) -> bool:
        return self._folder + name in self._zip.NameToInfo

    def member(self, name: str, at_most: int = LARGEST_FILE) -> bytes:
        """The bytes of a member, which torch never compresses."""
        if not self._has(name):
            raise self.wrong(f"the member {name} is missing: the file is damaged")
        info = self._zip.getinfo(self._folder + name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise self.wrong(f"the member {name} is compressed, which torch never does")
        if info.file_size > at_most:
            raise self.wrong(f"the member {name} has {info.file_size:,} bytes, more than {at_most:,}")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, NotImplementedError) as err:
            raise self.wrong(f"the member {name} is damaged ({err})") from err

    def storage(self, storage: _Storage) -> Array:
        """The numbers of a storage, read once, in the byte order of this machine."""
        if storage not in self._storages:
            raw = self.member(f"data/{storage.key}")
            brain = storage.dtype == "bfloat16"
            dtype = np.dtype("u2" if brain else storage.dtype).newbyteorder(self.order)
            if len(raw) != storage.n_values * dtype.itemsize:
                raise self.wrong(
                    f"data/{storage.key} has {len(raw):,} bytes instead of {storage.n_values:,} values of "
                    f"{dtype.itemsize}: the file is damaged"
                )
            values = np.frombuffer(raw, dtype=dtype).astype(dtype.newbyteorder("="), copy=False)
            if brain:  # the upper half of a float32
                values = (values.astype(np.uint32) << 16).view(np.float32)
            self._storages[storage] = values
        return self._storages[storage]


# Tensors.


def _tensor(archive: _Archive, arguments: tuple[Any, ...], dtype: str | None = None) -> StoredTensor:
    """A tensor from a storage, an offset, sizes and strides."""
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, _Storage):
        raise archive.wrong("a tensor does not say which numbers it holds: the file is damaged")
    if dtype is not None:
        width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        storage = _Storage(storage.key, dtype, storage.n_values // width)
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MOST_AXES):
        raise archive.wrong("a tensor whose sizes and strides do not fit together: the file is damaged")
    numbers = (offset, *size, *stride)
    if not all(type(n) is int and 0 <= n < _LARGEST_TENSOR for n in numbers):
        raise archive.wrong(f"a tensor of the impossible shape {shown(size)} with strides {shown(stride)}")
    n_values = 1
    for length in size:
        n_values *= length
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if n_values and (last >= storage.n_values or n_values > storage.n_values):
        raise archive.wrong(
            f"a tensor of shape {shown(size)} needs more numbers than the {storage.n_values:,} of "
            f"data/{storage.key}: the file is damaged"
        )
    return StoredTensor(tuple(size), partial(_strided, archive, storage, offset, tuple(size), tuple(stride)))


def _strided(
    archive: _Archive, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> Array:
    values = archive.storage(storage)[offset:]
    if 0 in size:
        return np.empty(size, dtype=values.dtype)
    steps = tuple(n * values.itemsize for n in stride)
    return np.lib.stride_tricks.as_strided(values, size, steps, writeable=False)


def shown(value: Any) -> str:
    """A value of a file in a message: cut, and never taken apart, since tuples may be nested without end."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a number of many digits"
    if isinstance(value, tuple) and len(value) <= _MOST_AXES and all(type(n) is int for n in value):
        return f"({', '.join(map(shown, value))})"
    if isinstance(value, Name | Held):
        return shown(value.full if isinstance(value, Name) else value.name)
    if not (value is None or isinstance(value, str | int | float | Exception)):
        return f"a {type(value).__name__}"
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


# The machine.

_MARK = object()


class _Machine:
    """Follows the instructions of a pickle: a stack, a memory, and no way to call anything."""

    def __init__(self, archive: _Archive) -> None:
        self._archive = archive
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}

    def run(self) -> Any:
        """What the program leaves on the stack."""
        try:
            for instruction, argument, _ in pickletools.genops(self._archive.program):
                if instruction.name == "STOP":
                    return self._stack.pop()
                self._follow(instruction.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as err:
            raise self._archive.wrong(f"data.pkl is damaged ({shown(err) or type(err).__name__})") from err
        raise self._archive.wrong("data.pkl is cut short")

    def _follow(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            stack.append(argument)
        elif name in {"BINPUT", "LONG_BINPUT"}:
            self._memory[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memory[len(self._memory)] = stack[-1]
        elif name in {"BINGET", "LONG_BINGET"}:
            stack.append(self._memory[argument])
        elif (work := _WORK.get(name)) is not None:
            work(self)
        elif name == "GLOBAL":
            stack.append(self._named(argument.replace(" ", ".")))
        elif name not in {"PROTO", "FRAME"}:
            raise self._archive.wrong(f"data.pkl has the instruction {name}, which no Chemprop model needs")

    def _named(self, full: str) -> Name:
        module = full.rpartition(".")[0]
        if full in _NAMES or module in _MODULES:
            return Name(full)
        if any(word in full for word in _OTHER_TENSORS):
            raise self._archive.wrong(
                f"it holds tensors of a kind that is not read here ({shown(full)}): sparse, quantized and "
                "complex ones; save the model with plain float tensors"
            )
        raise self._archive.wrong(
            f"it names {shown(full)}, which no Chemprop model needs. Nothing was run. Loading such a file "
            "with torch or Chemprop would run it: do so only if you trust its origin"
        )

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark from the stack."""
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("a mark is missing")
        found = self._stack[place + 1 :]
        del self._stack[place:]
        return found

    def take(self, n: int) -> list[Any]:
        """Take the last values from the stack."""
        if n > len(self._stack):
            raise ValueError("the stack is empty")
        found = self._stack[len(self._stack) - n :]
        del self._stack[len(self._stack) - n :]
        if any(value is _MARK for value in found):
            raise ValueError("a mark stands where a value should")
        return found

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def append(self, values: list[Any]) -> None:
        """Append to the list on top of the stack."""
        top = self._stack[-1]
        if not isinstance(top, list):
            raise TypeError("values appended to what is no list")
        top.extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Fill the dictionary on top of the stack."""
        top = self._stack[-1]
        target = top.items if isinstance(top, Held) else top
        if not isinstance(target, dict) or len(values) % 2:
            raise TypeError("items set on what is no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not (key is None or isinstance(key, str | int | float)):
                # The hash of nested tuples may take for ever.
                raise TypeError("a key of a dictionary is neither text nor a number")
            target[key] = value

    def make(self, name: Any, arguments: Any) -> None:
        """What a name makes of arguments: a dictionary, a tensor, or an object that holds them."""
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise TypeError("something is called that is no name")
        full = name.full
        if full in _DICTS:
            value: Any = dict[Any, Any]()
            if arguments and isinstance(arguments[0], list):  # pairs, as OrderedDict had them long ago
                self._stack.append(value)
                self.set_items([part for pair in arguments[0] for part in pair])
                self._stack.pop()
        elif full in {"__builtin__.set", "builtins.set"}:
            value = list(arguments[0]) if arguments else []
        elif full == "torch._utils._rebuild_tensor_v2":
            value = _tensor(self._archive, arguments)
        elif full == "torch._utils._rebuild_tensor_v3":
            kind = arguments[6].full.removeprefix("torch.")
            value = _tensor(self._archive, arguments, _DTYPES[kind])
        elif full == "torch._utils._rebuild_parameter":
            value = arguments[0]
        elif full == "torch.Size":
            value = tuple(arguments[0])
        else:
            value = Held(full, arguments)
        self._stack.append(value)

    def build(self) -> None:
        """Give an object its state."""
        (state,) = self.take(1)
        top = self._stack[-1]
        if isinstance(top, Held):
            top.state = state
        elif not isinstance(top, dict | StoredTensor):
            raise TypeError("a state is given to what is no object")

    def persistent(self) -> None:
        """A storage, which the zip holds outside the pickle."""
        (found,) = self.take(1)
        if not (isinstance(found, tuple) and len(found) == 5 and found[0] == "storage"):
            raise TypeError("a reference to something that is no storage")
        kind, key, n_values = found[1], found[2], found[4]
        name = kind.full.rpartition(".")[2]
        dtype = "u1" if name == "UntypedStorage" else _STORAGES[name]
        if not (isinstance(key, str) and key.isalnum() and type(n_values) is int and n_values >= 0):
            raise TypeError("a storage without a name or a size")
        self._stack.append(_Storage(key, dtype, n_values))


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING"),
}
_WORK: dict[str, Callable[[_Machine], Any]] = {
    "POP": lambda m: m.take(1),
    "POP_MARK": lambda m: m.since_mark(),
    "TUPLE": lambda m: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m: m.push(tuple(m.take(1))),
    "TUPLE2": lambda m: m.push(tuple(m.take(2))),
    "TUPLE3": lambda m: m.push(tuple(m.take(3))),
    "LIST": lambda m: m.push(m.since_mark()),
    "FROZENSET": lambda m: m.push(m.since_mark()),
    "APPEND": lambda m: m.append(m.take(1)),
    "APPENDS": lambda m: m.append(m.since_mark()),
    "ADDITEMS": lambda m: m.append(m.since_mark()),
    "SETITEM": lambda m: m.set_items(m.take(2)),
    "SETITEMS": lambda m: m.set_items(m.since_mark()),
    "REDUCE": lambda m: m.make(*m.take(2)),
    "NEWOBJ": lambda m: m.make(*m.take(2)),
    "STACK_GLOBAL": lambda m: m.push(m._named(".".join(m.take(2)))),
    "BUILD": lambda m: m.build(),
    "BINPERSID": lambda m: m.persistent(),
}
