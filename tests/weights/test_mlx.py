"""CSM files for MLX: plain and rounded in groups, by MLX's own rule; what isn't read is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from duologue.errors import LayoutMismatch
from duologue.weights.arrays import file_arrays
from duologue.weights.checkpoint import open_checkpoint
from duologue.weights.csm_files import read_csm
from duologue.weights.mlx import _LEAVES
from duologue.weights.mlx_rounding import grouped_array
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
    levels = np.clip(levels, 0, 2**bits - 1).astype(np.uint8).reshape(len(values), -1)
    stream = np.unpackbits(levels[..., None], axis=2, bitorder="little")[..., :bits].reshape(len(values), -1)
    words = np.packbits(stream, axis=1, bitorder="little").view(np.uint32)
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


@pytest.mark.parametrize(("bits", "within"), [(8, 0.006), (6, 0.025), (5, 0.05), (4, 0.09), (3, 0.2), (2, 0.45)])
def test_rounded_files_come_back_within_their_step(bits: int, within: float, tmp_path: Path) -> None:
    back = read_csm(write_mlx(tmp_path, bits), as_arrays=True)
    worst = 0.0
    for name, array in csm_part().arrays.items():
        worst = max(worst, float(np.abs(as_floats(back.tensors[name]) - array).max()))
        assert np.array_equal(as_floats(back.tensors[name])[1:3], as_floats(back.tensors[name][1:3]))
    assert within / 10 < worst < within
    import torch

    assert read_csm(tmp_path).tensors["projection.weight"].dtype == torch.float32


WRITTEN = file_arrays(Path(__file__).parent / "data" / "mlx_rounded.safetensors")
FORMS = sorted({name.rpartition(".")[0] for name in WRITTEN} - {""})


@pytest.mark.parametrize("form", FORMS)
def test_what_mlx_itself_wrote_is_read_as_mlx_reads_it(form: str) -> None:
    """Made by mlx 0.32.4's quantize and dequantize, in every mode and number of bits that it has."""
    mode, bits = form.split(".")[0], int(form.split(".")[1][0])
    parts = [WRITTEN.get(f"{form}.{part}") for part in ("weight", "scales", "biases")]
    ours = grouped_array(form, *parts, (bits, mode), "a file")
    rough = 2**-7 if form.endswith("half") else 0  # MLX multiplies in the scales' own 16 bits there
    np.testing.assert_allclose(np.asarray(ours), WRITTEN[f"{form}.values"], rtol=0, atol=4 * rough)
    assert np.array_equal(ours[1:], np.asarray(ours)[1:]) and np.array_equal(ours[2], np.asarray(ours)[2])


def test_every_form_of_mlx_is_there() -> None:
    known = [*(f"affine.{n}" for n in "23456"), "affine.6half", "affine.8", "mxfp4.4", "mxfp8.8", "nvfp4.4"]
    assert known == FORMS


def test_other_forms_of_rounding_are_refused(tmp_path: Path) -> None:
    for mode in ("mxfp4", "nf4"):  # biases beside mxfp4, and a mode that nobody has
        write_mlx(tmp_path, 4, mode=mode)
        with pytest.raises(LayoutMismatch, match=mode):
            read_csm(tmp_path)
    write_mlx(tmp_path, 4)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization"]["bits"] = 7
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(LayoutMismatch, match="7 bits"):
        read_csm(tmp_path)
    weight, scales = WRITTEN["mxfp4.4.weight"], WRITTEN["mxfp4.4.scales"]
    for words, sizes in ((weight, scales[:, :2]), (weight[:2], scales), (weight, scales.astype(np.float32))):
        with pytest.raises(LayoutMismatch, match="don't fit"):
            grouped_array("w", words, sizes, None, (4, "mxfp4"), "a file")
    (tmp_path / "config.json").write_text(json.dumps(write_config(CONFIG)))
    with pytest.raises(LayoutMismatch, match="rounded to None bits"):
        read_csm(tmp_path)
    assert open_checkpoint(tmp_path).layout == "mlx"
