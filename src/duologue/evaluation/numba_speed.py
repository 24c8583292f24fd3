"""Would kernels in Python do? Products of the depth decoder's size by numba's compiler, beside the engine's, in turns.

numba is no dependency: run this with a Python that has it, for instance a scratch environment,
`PYTHONPATH=src scratch/bin/python -m duologue.evaluation.numba_speed --out benchmarks/results/numba_speed.json`.
Both read the same packed bytes: tiles of 16 rows, float32, or int8 with a float16 scale for every 32 columns. The loops
are those of kernels_body.h, written for numba to vectorise: no intrinsics, which would be LLVM's text in Python strings
for every instruction set. One thread, random weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.bench import Others, read_bandwidth
from ..engine.native_engine import available_paths
from ..engine.quantize import Floats, Format, PackedMatrix, multiply, pack
from ..errors import BackendUnavailable
from .report import versions

ROWS, COLS, ROUNDS, COPIES = 4096, 1024, 9, 6  # copies: together more than a cache holds
TILE, GROUP, BLOCK = 16, 32, 256


def compiled() -> dict[str, Any]:
    """The two products by numba. Raises BackendUnavailable without it."""
    try:
        import numba
    except ImportError as error:
        raise BackendUnavailable(
            f"No numba: {error}", hint="pip install numba, in an environment of its own."
        ) from error

    @numba.njit(fastmath=True, boundscheck=False)  # type: ignore[untyped-decorator]
    def float_product(tiles: Floats, x: Floats, y: Floats) -> None:  # tiles (T,cols,16)
        for t in range(tiles.shape[0]):
            sums = np.zeros(TILE, np.float32)
            for k in range(tiles.shape[1]):
                for r in range(TILE):
                    sums[r] += tiles[t, k, r] * x[k]
            for r in range(TILE):
                y[t * TILE + r] = sums[r]

    @numba.njit(fastmath=True, boundscheck=False)  # type: ignore[untyped-decorator]
    def int8_product(values: Any, scales: Floats, q: Any, x_scales: Floats, y: Floats) -> None:
        for t in range(values.shape[0]):  # values (T,groups,8,16,4) uint8 + 128, scales (T,groups,16)
            total = np.zeros(TILE, np.float32)
            for g in range(values.shape[1]):
                sums = np.zeros(TILE, np.int32)
                for j in range(GROUP // 4):
                    for r in range(TILE):
                        for b in range(4):
                            sums[r] += (np.int32(values[t, g, j, r, b]) - 128) * np.int32(q[g * GROUP + j * 4 + b])
                for r in range(TILE):
                    total[r] += sums[r] * (scales[t, g, r] * x_scales[g])
            for r in range(TILE):
                y[t * TILE + r] = total[r]

    return {"float32": float_product, "int8": int8_product}


def rounded(x: Floats) -> tuple[Any, Floats]:
    """An activation as the integer kernels see it: int8 (cols,), and a scale for every group."""
    groups = x.reshape(-1, GROUP)
    scales = (np.abs(groups).max(1) / 127).astype(np.float32)
    return np.rint(groups / scales[:, None]).astype(np.int8).reshape(-1), scales


def unblocked(matrix: PackedMatrix) -> tuple[Any, Floats]:
    """int8's values (T,groups,8,16,4) and scales (T,groups,16) out of the packed blocks, in numba's favour."""
    per_block = BLOCK // GROUP
    blocks = matrix.data.reshape(ROWS // TILE, COLS // BLOCK, -1)
    values = blocks[..., : BLOCK * TILE].reshape(ROWS // TILE, COLS // GROUP, GROUP // 4, TILE, 4)
    scales = np.ascontiguousarray(blocks[..., BLOCK * TILE :]).view(np.float16).astype(np.float32) * matrix.scale
    return np.ascontiguousarray(values), scales.reshape(ROWS // TILE, COLS // BLOCK * per_block, TILE)


def measure(kind: str, product: Any) -> dict[str, Any]:
    """GB/s of weights of both, in turns, and how far their answers lie apart."""
    random = np.random.default_rng(0)
    weights = (random.standard_normal((ROWS, COLS)) * 0.02).astype(np.float32)
    x = random.standard_normal(COLS).astype(np.float32)
    matrices = [pack(weights, Format("float32") if kind == "float32" else Format("int8", GROUP)) for _ in range(COPIES)]
    y = np.empty(ROWS, np.float32)
    calls: list[Callable[[], object]]
    if kind == "float32":
        tiles = [m.data.view(np.float32).reshape(ROWS // TILE, COLS, TILE) for m in matrices]
        calls = [lambda w=w: product(w, x, y) for w in tiles]  # type: ignore[misc]
    else:
        q, x_scales = rounded(x)
        parts = [unblocked(m) for m in matrices]
        calls = [lambda p=p: product(p[0], p[1], q, x_scales, y) for p in parts]  # type: ignore[misc]
    started = time.perf_counter()
    calls[0]()
    compiling = time.perf_counter() - started
    ours = multiply(matrices[0], x[None])[0]
    apart = float(np.abs(ours - y).max() / np.abs(ours).max())
    rates: dict[str, list[float]] = {"numba": [], "kernels": []}
    for _ in range(ROUNDS):
        for name, works in (("numba", calls), ("kernels", [lambda m=m: multiply(m, x[None]) for m in matrices])):  # type: ignore[misc]
            started = time.perf_counter()
            for work in works:
                work()
            rates[name].append(COPIES * matrices[0].data.nbytes / (time.perf_counter() - started) / 1e9)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "weights": kind,
        "gb_s": medians,
        "fastest_gb_s": {name: max(values) for name, values in rates.items()},
        "kernels_to_numba": medians["kernels"] / medians["numba"],
        "first_call_seconds": compiling,
        "largest_difference": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    products = compiled()
    import numba

    others = Others()
    found = {
        **versions(),
        "numba": numba.__version__,
        "path": available_paths()[0],
        "matrix": [ROWS, COLS],
        "bandwidth_gb_s": read_bandwidth(1) / 1e9,
        "results": [measure(kind, product) for kind, product in products.items()],
        "others_share": others.share(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
