"""Cost and memory of choosing the best k of many rows, beside sorting them all; scores are made up.

Run: ``python tests/benchmarks/top_k.py --rows 10000000``
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import pyarrow as pa

from molig.screening.hits import HitColumns, TopK

PART = 16_384
COLUMNS = HitColumns(("score",))


def parts(n_rows: int) -> list[tuple[int, int]]:
    """First row and number of rows of each part."""
    return [(start, min(PART, n_rows - start)) for start in range(0, n_rows, PART)]


def table(first: int, n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Rows as a screen makes them; the texts are of usual length."""
    texts = pa.array(["CC(=O)Nc1ccc(O)cc1C(=O)NCc1ccccn1"] * n_rows)
    rows = pa.array(np.arange(first + 1, first + n_rows + 1))
    scores = pa.array(rng.random(n_rows, dtype=np.float32))
    empty = pa.array([""] * n_rows)
    ranks = pa.array(np.zeros(n_rows, dtype=np.int64))
    return pa.table([rows, rows.cast(pa.string()), texts, texts, empty, scores, ranks], schema=COLUMNS.schema)


def seconds(n_rows: int, k: int) -> tuple[float, float]:
    """Time to choose the best k, and to make the rows."""
    rng, best, made, started = np.random.default_rng(0), TopK(COLUMNS, k), 0.0, time.perf_counter()
    for first, n in parts(n_rows):
        before = time.perf_counter()
        rows = table(first, n, rng)
        made += time.perf_counter() - before
        best.add(rows)
    found = best.table()
    if len(found) != min(k, n_rows):
        raise SystemExit(f"{len(found)} rows of {k}")
    return time.perf_counter() - started - made, made


def main() -> None:
    """Print a line for every k."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    n_rows = parser.parse_args().rows
    scores = np.random.default_rng(0).random(n_rows, dtype=np.float32)
    started = time.perf_counter()
    np.argsort(-scores, kind="stable")
    sorting = time.perf_counter() - started
    del scores
    print(f"{n_rows:,} rows; argsort of all scores alone {sorting:.1f} s")
    for k in (100, 10_000, 100_000):
        chosen, made = seconds(n_rows, k)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"k = {k:>7,}: {chosen:.1f} s, {1e6 * chosen / n_rows:.2f} us a row, {chosen / sorting:.2f} of "
            f"the argsort, {chosen / made:.2f} of making the rows; peak of the process so far {peak:,} MB"
        )


if __name__ == "__main__":
    main()
