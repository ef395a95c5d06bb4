"""Plant defects in trained models and tables, and count how many of them the audit finds.

Every case is made of a seed. Networks are trained to a criterion and kept in ``build/planted`` by
arithmetic, so that judging again trains nothing again; so are the verdicts, one file for each check, seed and
arithmetic::

    python tests/benchmarks/audit_planted.py run --seeds 2-4 --arithmetics default,avx2,native
    python tests/benchmarks/audit_planted.py run --seeds 2-4 --arithmetics native --curves
    python tests/benchmarks/audit_planted.py run --seeds 0 --arithmetics native --only baseline --again
    python tests/benchmarks/audit_planted.py report --seeds 2-4 docs/results/audit/planted.json

``report`` merges the verdicts into one JSON file, with a table in Markdown and the curves of detection beside
it. An arithmetic is a value of ATEN_CPU_CAPABILITY, which a process of its own is started with; ``native``
leaves it unset.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.planted import Case, Verdict, judge, store

from molig.audit.registry import available_checks
from molig.stats.intervals import wilson
from molig.version import __version__

ARITHMETICS = ("default", "avx2", "native")


def main() -> None:
    """Judge, or report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("run", "report"):
        step = steps.add_parser(name)
        step.add_argument("--seeds", default="2-4", help="such as 0,1 or 2-4")
        step.add_argument("--arithmetics", default=",".join(ARITHMETICS), help="joined by commas")
        step.add_argument("--only", default=",".join(available_checks()), help="checks, joined by commas")
        if name == "run":
            step.add_argument("--again", action="store_true", help="judge cases again that have a verdict")
            step.add_argument("--curves", action="store_true", help="judge defects of growing size instead")
            step.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
        else:
            step.add_argument("output", type=Path, help="JSON file")
    options = parser.parse_args()
    chosen = [list_of(options.seeds), options.arithmetics.split(","), options.only.split(",")]
    if options.step == "report":
        report(options.output, *chosen)
    elif options.here:
        run(*chosen, again=options.again, curves=options.curves)
    else:
        for arithmetic in chosen[1]:
            spawn(arithmetic, sys.argv[1:])


def list_of(seeds: str) -> list[int]:
    """Seeds written as ``0,1`` or ``2-4``."""
    low, _, high = seeds.partition("-")
    return list(range(int(low), int(high) + 1)) if high else [int(seed) for seed in seeds.split(",")]


def spawn(arithmetic: str, arguments: Sequence[str]) -> None:
    """Make a run in a process whose tensors are computed with one arithmetic."""
    environment = {k: v for k, v in os.environ.items() if k != "ATEN_CPU_CAPABILITY"}
    if arithmetic != "native":
        environment["ATEN_CPU_CAPABILITY"] = arithmetic
    # The last of two options counts.
    command = [sys.executable, __file__, *arguments, "--arithmetics", arithmetic, "--here"]
    subprocess.run(command, env=environment, check=True)


def verdicts_file(check: str, seed: int, arithmetic: str, kind: str = "verdicts") -> Path:
    """Where the verdicts of a check are kept, or those of its defects of growing size (curves)."""
    return store().parent / kind / arithmetic / f"{check}-{seed}.json"


def run(
    seeds: Iterable[int], arithmetics: Sequence[str], checks: Iterable[str], *, again: bool, curves: bool
) -> None:
    """Judge what has no verdict yet."""
    torch.set_num_threads(1)
    (arithmetic,) = arithmetics
    kind = "curves" if curves else "verdicts"
    for seed in seeds:
        for check in checks:
            path = verdicts_file(check, seed, arithmetic, kind)
            if path.exists() and not again:
                continue
            found = judge_all(check, seed, curves=curves)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(arithmetic, seed, row(check, [found]), f"{found['seconds']} s", flush=True)


def judge_all(check: str, seed: int, *, curves: bool) -> dict[str, Any]:
    """Make one check on all its cases of a seed, or on its defects of growing size."""
    module = importlib.import_module(f"audit.planted.{check.replace('-', '_')}")
    started = time.perf_counter()
    if curves:
        cases = [
            {"defect": one.defect, "size": one.size, **entry(judge(check, one.case), one.case)}
            for one in module.graded(seed)
        ]
    else:
        cases = [entry(judge(check, case), case) for case in module.cases(seed)]
    for one in cases:
        if not one["right"] and not curves:
            what = one["dropped"] or one["findings"] or one["status"]
            kind = "dropped" if one["dropped"] else "WRONG"
            print(f"  {kind}: {check}: {one['case']}: {what}", file=sys.stderr)
    return {
        "check": check,
        "seed": seed,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "molig": __version__,
        "seconds": round(time.perf_counter() - started, 1),
        "cases": cases,
    }


def entry(verdict: Verdict, case: Case) -> dict[str, Any]:
    """What is kept of a verdict."""
    found: dict[str, Any] = {"case": case.name, "planted": case.planted, "least": case.least.value}
    if verdict.result is None:
        return found | {"status": "dropped", "right": False, "dropped": verdict.dropped, "findings": []}
    (result,) = verdict.result.results
    told = [f"{one.severity.value}: {one.summary}" for one in result.outcome.findings]
    return found | {"status": result.status, "right": verdict.right, "dropped": "", "findings": told}


def tally(found: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Cases of some runs, counted."""
    cases = [case for one in found for case in one["cases"]]
    used = [case for case in cases if not case["dropped"]]
    return {
        "planted": sum(case["planted"] for case in used),
        "found": sum(case["planted"] and case["right"] for case in used),
        "controls": sum(not case["planted"] for case in used),
        "false_alarms": sum(not case["planted"] and not case["right"] for case in used),
        "dropped_defects": sum(case["planted"] and bool(case["dropped"]) for case in cases),
        "dropped_controls": sum(not case["planted"] and bool(case["dropped"]) for case in cases),
    }


def row(name: str, found: Sequence[dict[str, Any]]) -> str:
    """A row of the table: cells of one arithmetic."""
    n = tally(found)
    return (
        f"{name}: {n['found']} of {n['planted']}, {n['false_alarms']} of {n['controls']}, dropped "
        f"{n['dropped_defects']} + {n['dropped_controls']}"
    )


def report(path: Path, seeds: Sequence[int], arithmetics: Sequence[str], checks: Sequence[str]) -> None:
    """Merge verdicts; write JSON, the table, and the curves of detection."""
    runs = {(a, check): read_all(check, seeds, a, "verdicts") for a in arithmetics for check in checks}
    graded = {
        a: [one for check in checks for one in read_all(check, seeds, a, "curves")] for a in arithmetics
    }
    totals: dict[str, dict[str, Any]] = {}
    for a in arithmetics:
        totals[a] = n = tally([one for check in checks for one in runs[a, check]])
        n["share_found"] = interval(n["found"], n["planted"])
        n["share_of_false_alarms"] = interval(n["false_alarms"], n["controls"])
    kept = ("case", "planted", "dropped", "findings")
    data = {
        "seeds": list(seeds),
        "arithmetics": {a: runs[a, checks[0]][0]["capability"] for a in arithmetics},
        "processor": torch.backends.cpu.get_cpu_capability(),
        "versions": {name: runs[arithmetics[0], checks[0]][0][name] for name in ("molig", "torch")},
        "totals": totals,
        "checks": {check: {a: tally(runs[a, check]) for a in arithmetics} for check in checks},
        "arithmetics_of_the_curves": [a for a in arithmetics if graded[a]],
        "curves": curves_of(one for found in graded.values() for one in found),
        "wrong_or_dropped": [
            {"check": check, "arithmetic": a, "seed": one["seed"], **{key: case[key] for key in kept}}
            for (a, check), found in runs.items()
            for one in found
            for case in one["cases"]
            if not case["right"]
        ],
        "cases": {
            check: sorted({c["case"] for a in arithmetics for one in runs[a, check] for c in one["cases"]})
            for check in checks
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(tables(data), encoding="utf-8")
    if data["curves"]:
        draw(data["curves"], path.with_suffix(".svg"))


def read_all(check: str, seeds: Iterable[int], arithmetic: str, kind: str) -> list[dict[str, Any]]:
    """Verdicts of a check; of curves, those that there are."""
    paths = [verdicts_file(check, seed, arithmetic, kind) for seed in seeds]
    return [json.loads(path.read_text()) for path in paths if kind == "verdicts" or path.exists()]


def interval(count: int, n: int) -> list[float]:
    """A share and its 95 % interval (Wilson)."""
    return [round(value, 4) for value in (count / max(n, 1), *wilson(count, n))]


def curves_of(runs: Iterable[dict[str, Any]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By check and defect: of how many defects of a size how many were found."""
    counts: dict[tuple[str, str, float], list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in runs:
        for point in one["cases"]:
            place = counts[one["check"], point["defect"], point["size"]]
            place[0] += point["right"]
            place[1] += not point["dropped"]
            place[2] += bool(point["dropped"])
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for (check, defect, size), (right, n, dropped) in sorted(counts.items()):
        points = found.setdefault(check, {}).setdefault(defect, [])
        points.append({"size": size, "found": right, "of": n, "dropped": dropped})
    return found


def tables(data: dict[str, Any]) -> str:
    """The table of all checks, and that of the curves."""
    names = list(data["arithmetics"])
    head = [f"{a}: found | {a}: false alarms" for a in names]
    lines = [
        f"| check | {' | '.join(head)} | not shown, left out |",
        "|---|" + "---:|" * (2 * len(names) + 1),
    ]
    for check, by in [*data["checks"].items(), ("all", data["totals"])]:
        cells = [
            f"{by[a]['found']} of {by[a]['planted']} | {by[a]['false_alarms']} of {by[a]['controls']}"
            for a in names
        ]
        out = sum(by[a]["dropped_defects"] for a in names), sum(by[a]["dropped_controls"] for a in names)
        name = check if check == "all" else f"`{check}`"
        lines.append(f"| {name} | {' | '.join(cells)} | {out[0]} + {out[1]} |")
    cells = [
        " | ".join(
            f"{s[0]:.1%} [{s[1]:.1%}, {s[2]:.1%}]" for s in (n["share_found"], n["share_of_false_alarms"])
        )
        for n in data["totals"].values()
    ]
    lines.append(f"| share, 95 % interval | {' | '.join(cells)} | |")
    lines += ["", "| check | size of the defect | found, of those planted |", "|---|---|---|"]
    for check, defects in data["curves"].items():
        for defect, points in defects.items():
            text = ", ".join(f"{p['size']:g}: {p['found']} of {p['of']}" for p in points)
            lines.append(f"| `{check}` | {defect} | {text} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any], path: Path) -> None:
    """Curves of detection, a panel for each defect."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "molig", "font.size": 8}
    from matplotlib import pyplot

    panels = [(check, defect, points) for check, by in found.items() for defect, points in by.items()]
    columns = 3
    rows = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(10, 2.1 * rows), squeeze=False, layout="constrained"
    )
    for place, (check, defect, points) in zip(axes.flat, panels, strict=False):
        used = [p for p in points if p["of"]]
        shares = [p["found"] / p["of"] for p in used]
        spans = [wilson(p["found"], p["of"]) for p in used]
        sizes = [p["size"] for p in used]
        place.vlines(sizes, *zip(*spans, strict=True), color="#0072B2", linewidth=1, alpha=0.5)
        place.plot(sizes, shares, "o-", color="#0072B2", markersize=3.5, linewidth=1.2)
        if sizes and max(sizes) / max(min(sizes), 1e-12) > 20:
            place.set_xscale("log")
        place.set_ylim(-0.05, 1.05)
        place.set_title(check, fontsize=8.5, loc="left", fontweight="bold")
        place.set_xlabel(defect, fontsize=7.5)
    for place in list(axes.flat)[len(panels) :]:
        place.set_axis_off()
    for place in axes[:, 0]:
        place.set_ylabel("share found")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
