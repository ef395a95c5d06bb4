"""How far a reader walks: the modules and functions in which a command runs, and the size of the package.

    python tests/benchmarks/walks.py [WALK ...]
    PYTHONPATH=another/tree python tests/benchmarks/walks.py     # the same of another tree

Each walk runs a command of `molig` in a process where all modules were imported and nothing else was done,
with a profiler that notes every function of the package that is called. Nested functions and comprehensions
count as part of the function that holds them. Loops compiled by Numba are not seen.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import importlib
import io
import os
import pkgutil
import subprocess
import sys
import tempfile
import threading
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

PHENOL = "Oc1ccccc1"
# A table so small that training takes seconds.
_MOLECULES = ["CCO", "CCN", "CCC", "c1ccccc1", "CC(=O)O", "CCCl", "CNC", "COC", "CC#N", "OCCO"]
_RECIPE = """
[network]
n_modules = 1
[split]
kind = "random"
[optimization]
epochs = 2
"""


def screen(folder: Path) -> list[str]:
    """One SMILES through `screen`."""
    (folder / "one.smi").write_text(f"{PHENOL} phenol\n")
    return [
        *("screen", str(folder / "one.smi"), "-m", "tox21-w2n2-simple", "--task", "SR-ARE"),
        *("-o", str(folder / "hits.csv")),
    ]


def explain(folder: Path) -> list[str]:
    """One SMILES through `explain`."""
    return [
        *("explain", "-m", "tox21-w2n2-simple", "--task", "SR-MMP"),
        *("--smiles", PHENOL, "-o", str(folder / "why.svg")),
    ]


def train(folder: Path) -> list[str]:
    """One table through `train`."""
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["smiles", "ACTIVE"])
        table.writerows([smiles * n, int("O" in smiles)] for smiles in _MOLECULES for n in (1, 2, 3, 4))
    (folder / "recipe.toml").write_text(_RECIPE)
    return [
        *("train", "-i", str(folder / "table.csv"), "-o", str(folder / "model")),
        *("--label", "ACTIVE", "--recipe", str(folder / "recipe.toml"), "--device", "cpu"),
    ]


def audit(folder: Path) -> list[str]:
    """One finding through `audit`: a network that cannot see an atom's neighbours."""
    smiles = [f"{tail}{head}" for tail in ("CC(C)", "CCC", "OCC", "NCC") for head in _MOLECULES[:5]]
    (folder / "few.smi").write_text("".join(f"{s} {i}\n" for i, s in enumerate(smiles)))
    return [
        *("audit", "-m", "tox21-w1n2-simple", "-i", str(folder / "few.smi")),
        *("--only", "identical-attribution", "-o", str(folder / "report.html")),
    ]


WALKS: dict[str, Callable[[Path], list[str]]] = {
    "screen": screen,
    "explain": explain,
    "train": train,
    "audit": audit,
}


def visited(arguments: list[str]) -> list[str]:
    """Functions in which `molig ARGUMENTS` runs, by full name, in the order of their first call."""
    from molig.cli import main

    seen: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        module, code = frame.f_globals.get("__name__", ""), frame.f_code
        # Code of other files is what dataclasses and annotations generate.
        own = code.co_filename == frame.f_globals.get("__file__")
        if event == "call" and own and module.split(".")[0] == "molig":
            # Nested functions and comprehensions belong to the function that holds them.
            seen.setdefault(f"{module}.{code.co_qualname.split('.<locals>')[0]}")

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            main(arguments)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"molig {' '.join(arguments)} failed with exit code {end.code}") from end
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(seen)


def walk(*names: str) -> list[list[str]]:
    """Functions of each walk, called where nothing is cached: in a fork of one that has imported all."""
    command = [sys.executable, __file__, "--list", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return [lines.split() for lines in done.stdout.split("\f")]


def print_walks(names: list[str]) -> None:
    """Print the functions of each walk in a fork of this process, with form feeds between."""
    import_everything()
    for place, name in enumerate(names):
        print("\f" if place else "", end="", flush=True)
        child = os.fork()
        if not child:
            with tempfile.TemporaryDirectory() as folder:
                print("\n".join(visited(WALKS[name](Path(folder)))), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise SystemExit(f"the walk {name} failed")


def home(function: str) -> str:
    """Module that defines a function, the longest prefix that is one."""
    name = function
    while name not in sys.modules:
        name = name.rpartition(".")[0]
    return name


def import_everything() -> Path:
    """Import all modules of the package; return its folder."""
    import molig

    for module in pkgutil.walk_packages(molig.__path__, "molig."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return Path(molig.__file__).parent


def lines(text: str) -> Counter[str]:
    """Kinds of the lines of a module: code, docstring, comment, blank."""
    rows = text.splitlines()
    kinds = ["code" if row.strip() else "blank" for row in rows]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not rows[token.start[0] - 1][: token.start[1]].strip():
            kinds[token.start[0] - 1] = "comment"
    for start, stop in docstrings(ast.parse(text)):
        kinds[start - 1 : stop] = ["docstring"] * (stop - start + 1)
    return Counter(kinds)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """First and last lines of strings that stand by themselves."""
    for node in ast.walk(tree):
        stands_alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if stands_alone and isinstance(node.value.value, str):
            yield node.lineno, node.end_lineno or node.lineno


def exported(folder: Path) -> int:
    """Names in `__all__` of the package and its rooms."""
    names = 0
    for path in [folder / "__init__.py", *folder.glob("*/__init__.py")]:
        module = ".".join(path.parent.relative_to(folder.parent).parts)
        names += len(getattr(sys.modules[module], "__all__", []))
    return names


def circles(*, late: bool) -> list[list[str]]:
    """Groups of modules that import each other, if `late` also in functions or for type names only."""
    import grimp
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = grimp.build_graph("molig", exclude_type_checking_imports=not late, cache_dir=None)
    modules = sorted(graph.modules)
    number = {module: i for i, module in enumerate(modules)}
    edges = [
        (number[one], number[other])
        for one in modules
        for other in graph.find_modules_directly_imported_by(one)
    ]
    rows, columns = zip(*edges, strict=True)
    matrix = coo_array(([1] * len(edges), (rows, columns)), shape=(len(modules), len(modules)))
    _, group = connected_components(matrix.tocsr(), connection="strong")
    sizes = Counter(group.tolist())
    return [[m for m in modules if group[number[m]] == g] for g, n in sizes.items() if n > 1]


def main(arguments: list[str]) -> None:
    """Print how far the walks lead, and how large the package is."""
    if arguments[:1] == ["--list"]:
        print_walks(arguments[1:])
        return
    folder = import_everything()
    print("| walk | modules | functions |\n|---|--:|--:|")
    names = arguments or list(WALKS)
    for name, functions in zip(names, walk(*names), strict=True):
        print(f"| `{name}` | {len({home(f) for f in functions})} | {len(functions)} |")
    if arguments:
        return
    files = sorted(folder.rglob("*.py"))
    total = sum((lines(path.read_text()) for path in files), Counter())
    print(f"\n| package | |\n|---|--:|\n| modules | {len(files)} |\n| lines | {total.total():,} |")
    for kind in ("code", "docstring", "comment", "blank"):
        print(f"| ... {kind} | {total[kind]:,} |")
    print(f"| exported names | {exported(folder)} |")
    for late, title in ((False, "at import"), (True, "with imports for type names")):
        found = circles(late=late)
        print(f"| import circles, {title} | {len(found)} |")
        for circle in found:
            print(f"|   {', '.join(circle)} | |")


if __name__ == "__main__":
    main(sys.argv[1:])
