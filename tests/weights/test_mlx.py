"""CSM files for MLX: plain and rounded in groups, by MLX's own rule; what isn't read is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from duologue.errors import LayoutMismatch
from duologue.weights.checkpoint import open_checkpoint
from duologue.weights.csm_files import read_csm
from duologue.weights.mlx import _LEAVES
from duologue.weights.sesame import write_config
from duologue.weights.stored_array import as_floats

from .gguf_models import CONFIG, csm_part

GROUP = 32


def mlx_name(ours: str) -> str:
    for theirs, own in _LEAVES.items():
        if f".{own}" in ours:
            return ours.replace(own, theirs)
    return ours.replace(".norm.scale", ".norm.weight")


def rounded(values: np.ndarray, bits: int) -> dict[str, np.ndarray]:
    """A matrix as MLX's affine rounding stores it."""
    groups = values.reshape(len(values), -1, GROUP)
    low, high = groups.min(axis=2), groups.max(axis=2)
    scales = np.maximum((high - low) / (2**bits - 1), 1e-7).astype(np.float16)
    biases = low.astype(np.float16)
    levels = np.rint((groups - biases[..., None].astype(np.float32)) / scales[..., None].astype(np.float32))
    levels = np.clip(levels, 0, 2**bits - 1).astype(np.uint32).reshape(len(values), -1, 32 // bits)
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    words = np.bitwise_or.reduce(levels << shifts, axis=2).astype(np.uint32)
    return {"weight": words, "scales": scales, "biases": biases}


def write_mlx(folder: Path, bits: int | None, prefix: str = "", **settings: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, np.ndarray] = {}
    for name, array in csm_part().arrays.items():
        stem = prefix + mlx_name(name)
        if bits is not None and array.ndim == 2:
            base = stem.removesuffix(".weight")
            tensors |= {f"{base}.{part}": values for part, values in rounded(array, bits).items()}
        else:
            tensors[stem] = np.ascontiguousarray(array)
    save_file(tensors, folder / "model.safetensors")
    config = write_config(CONFIG) | ({"quantization": {"group_size": GROUP, "bits": bits, **settings}} if bits else {})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_plain_file_gives_every_bit(prefix: str, tmp_path: Path) -> None:
    back = read_csm(write_mlx(tmp_path, None, prefix), as_arrays=True)
    assert (back.layout, back.config) == ("mlx", CONFIG)
    assert all(np.array_equal(back.tensors[name], array) for name, array in csm_part().arrays.items())


@pytest.mark.parametrize(("bits", "within"), [(8, 0.006), (4, 0.09), (2, 0.45)])
def test_rounded_files_come_back_within_their_step(bits: int, within: float, tmp_path: Path) -> None:
    back = read_csm(write_mlx(tmp_path, bits), as_arrays=True)
    worst = 0.0
    for name, array in csm_part().arrays.items():
        worst = max(worst, float(np.abs(as_floats(back.tensors[name]) - array).max()))
        assert np.array_equal(as_floats(back.tensors[name])[1:3], as_floats(back.tensors[name][1:3]))
    assert within / 10 < worst < within
    import torch

    assert read_csm(tmp_path).tensors["projection.weight"].dtype == torch.float32


def test_other_forms_of_rounding_are_refused(tmp_path: Path) -> None:
    write_mlx(tmp_path, 4, mode="mxfp4")
    with pytest.raises(LayoutMismatch, match="mxfp4"):
        read_csm(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(write_config(CONFIG)))
    with pytest.raises(LayoutMismatch, match="rounded to None bits"):
        read_csm(tmp_path)
    assert open_checkpoint(tmp_path).layout == "mlx"
