"""The measurement of mapped files says what it should at a small size: mapped weights are not the process's own."""

from __future__ import annotations

from pathlib import Path

from duologue.evaluation.packed_real_size import SMALL, run


def test_mapped_weights_are_not_memory_of_its_own(tmp_path: Path) -> None:
    result = run(SMALL, "int8", tmp_path, 1, 1)
    medians, weights_mb = result["medians"], result["file_bytes"] / 1e6
    assert weights_mb > 40
    assert medians["read"]["own_mb"] > 0.9 * weights_mb
    assert medians["mapped"]["own_mb"] < 0.5 * weights_mb
    assert all(row["frame_ms"] > 0 and row["start_seconds"] > 0 for row in medians.values())
    before = (tmp_path / "random-256-int8.gguf").stat().st_mtime_ns
    run(SMALL, "int8", tmp_path, 1, 1)
    assert (tmp_path / "random-256-int8.gguf").stat().st_mtime_ns == before, "the file is made once"
