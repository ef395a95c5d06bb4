"""Plant defects in trained models and tables, and count how many of them the audit finds.

Prints one row per check, detection over planted defects and false alarms over clean controls, and writes
the cases one by one::

    python tests/benchmarks/audit_planted.py docs/results/audit/planted.json
    python tests/benchmarks/audit_planted.py --only baseline,stability
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.planted import Case, judge

from molig.audit import available_checks
from molig.version import __version__


def main() -> None:
    """Judge every check on its cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "output", nargs="?", type=Path, help="JSON file; a table in Markdown is put beside it"
    )
    parser.add_argument("--only", help="checks, joined by commas")
    parser.add_argument("--merge", action="store_true", help="keep what the file says about other checks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = options.only.split(",") if options.only else list(available_checks())
    found: dict[str, Any] = {}
    if options.merge and options.output and options.output.exists():
        found = json.loads(options.output.read_text())["checks"]
    for name in chosen:
        found[name] = judge_all(name)
        print(row(name, found[name]), flush=True)
        if options.output:
            write(options.output, {n: found[n] for n in available_checks() if n in found})


def judge_all(name: str) -> dict[str, Any]:
    """Make one check on all its cases."""
    cases: list[Case] = importlib.import_module(f"audit.planted.{name.replace('-', '_')}").cases()
    started = time.perf_counter()
    results = []
    for case in cases:
        verdict = judge(name, case)
        (result,) = verdict.result.results
        told = [finding.summary for finding in result.outcome.findings]
        if not verdict.right:
            print(f"  wrong: {name}: {case.name}: {result.status} {told or result.skipped}", file=sys.stderr)
        results.append(
            {
                "case": case.name,
                "planted": case.planted,
                "least": case.least.value,
                "status": result.status,
                "right": verdict.right,
            }
        )
    planted = [r for r in results if r["planted"]]
    controls = [r for r in results if not r["planted"]]
    return {
        "planted": len(planted),
        "detected": sum(r["right"] for r in planted),
        "controls": len(controls),
        "false_alarms": sum(not r["right"] for r in controls),
        "seconds": round(time.perf_counter() - started, 1),
        "cases": results,
    }


def row(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    return (
        f"| `{name}` | {found['detected']} of {found['planted']} | {found['false_alarms']} of "
        f"{found['controls']} |"
    )


def write(path: Path, found: dict[str, Any]) -> None:
    """Write results as JSON, and the table beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"molig_version": __version__, "checks": found}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    head = ["| check | planted defects found | false alarms in clean controls |", "|---|---:|---:|"]
    table = "\n".join([*head, *(row(name, one) for name, one in found.items())])
    path.with_suffix(".md").write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
