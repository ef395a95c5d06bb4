"""Fetch the sketcher of `molig serve` from npm, or check that the one in the package is what was fetched.

Run: ``python docs/tools/sketcher.py`` to fetch, with ``--check`` to compare without a network. To take
another version, change the lines below; the browser tests say whether it still does.

Why this one: JSME starts only with inline scripts, which the policy of the server forbids; Ketcher is 16 MB
of script and 5 MB of WebAssembly. OpenChemLib's editor is one module of 1.1 MB (.34 MB packed) without eval,
and has keys for elements and bonds.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path
from urllib.request import urlopen

PACKAGE, VERSION, LICENSE = "openchemlib", "9.25.0", "BSD-3-Clause"
ADDRESS = f"https://registry.npmjs.org/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
PLACE = Path(__file__).parents[2] / "molig" / "serve" / "static"
FILES = {
    "package/dist/openchemlib.js": (
        "openchemlib.js",
        "7c76547bdb940652ce5eb412e305e110065a9b641ebe0ae975509ed573940f5d",
    ),
    "package/LICENSE": (
        "openchemlib.LICENSE",
        "38dc3aed3def8cc4dd15ac879daa4af9b0d71af86fef82611ca1752497c6f464",
    ),
}
"""What is taken: name in the package, name here, SHA-256."""


def fetch() -> None:
    """Write the files, if they are the ones that were looked at."""
    with urlopen(ADDRESS, timeout=60) as answer:
        package = answer.read()
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for member, (name, digest) in FILES.items():
            file = archive.extractfile(member)
            content = b"" if file is None else file.read()
            if hashlib.sha256(content).hexdigest() != digest:
                sys.exit(f"{member} of {ADDRESS} is not the file that was looked at")
            (PLACE / name).write_bytes(content)


def differing() -> list[str]:
    """Names of files in the package that are not what was fetched."""
    return [
        name
        for name, digest in FILES.values()
        if hashlib.sha256((PLACE / name).read_bytes()).hexdigest() != digest
    ]


if __name__ == "__main__":
    if "--check" not in sys.argv:
        fetch()
    if names := differing():
        sys.exit(f"not as they come from npm: {', '.join(names)}")
