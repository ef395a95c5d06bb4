"""What an audit of a bundled model costs: seconds of each check, and the largest resident memory.

The audit runs in a process of its own, on what the model's training held out::

    MOLIG_DATA_DIR=... python tests/benchmarks/audit_cost.py tox21-w2n2-simple tox21 --out cost.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import torch

from molig.audit import AuditSettings, audit, read_subject
from molig.audit.inputs import held_out_file
from molig.model import load_model
from molig.version import __version__


def main() -> None:
    """Audit each model, and print a row per check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="names of bundled models, or model directories")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    found = {}
    for name in options.models:
        with context.Pool(1) as pool:
            found[name] = pool.apply(measure, (name,))
        show(name, found[name])
    if options.out:
        versions = {"molig": __version__, "torch": torch.__version__, "python": platform.python_version()}
        data = {"versions": versions, "cpus": os.cpu_count(), "threads": 1, "models": found}
        options.out.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def measure(name: str) -> dict[str, Any]:
    """Audit a model on its held-out part."""
    torch.set_num_threads(1)
    wall, processor = time.perf_counter(), time.process_time()
    model = load_model(name)
    file, source = held_out_file(name)
    subject = read_subject(model, file, AuditSettings())
    marks: list[tuple[str, float]] = []
    result = audit(
        subject, source=source, on_check=lambda check: marks.append((check.name, time.process_time()))
    )
    ends = [start for _, start in marks[1:]] + [time.process_time()]
    checks = {name: round(end - start, 1) for (name, start), end in zip(marks, ends, strict=True)}
    return {
        "molecules": len(subject.molecules),
        "explained": len(subject.sample),
        "tasks": len(subject.tasks),
        "processor_seconds": round(time.process_time() - processor, 1),
        "seconds": round(time.perf_counter() - wall, 1),
        "largest_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "processor_seconds_of_checks": checks,
        "failed": [r.check.name for r in result.results if r.status == "failed"],
    }


def show(name: str, found: dict[str, Any]) -> None:
    """Print one model's cost."""
    print(
        f"{name}: {found['molecules']} molecules, {found['explained']} explained, {found['tasks']} tasks: "
        f"{found['processor_seconds']} s of processor time, {found['largest_memory_mb']} MB"
    )
    for check, seconds in found["processor_seconds_of_checks"].items():
        print(f"  {check:24} {seconds:7.1f} s")


if __name__ == "__main__":
    main()
