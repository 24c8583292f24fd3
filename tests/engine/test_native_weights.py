"""Packed weights: the network they stand for, files of them, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from duologue.csm.frames import lay_out
from duologue.engine import native_model
from duologue.engine.base import FrameRequest, FrameSampling
from duologue.engine.native_engine import NativeEngine, available_paths
from duologue.engine.packed import PackedModel, load_packed, pack_model, save_packed
from duologue.engine.pieces import check_shapes, expected_shapes
from duologue.engine.quantize import PLANS, Format, signal_to_noise_db, unpack
from duologue.engine.rotary import inverse_frequencies, rotary_tables
from duologue.errors import InputError, LayoutMismatch, WeightsDamaged
from duologue.nn import llama_rope
from tests.csm.sizes import ALIGNED, BOTH, PLAIN, build, dialogue


def arrays(config: object, seed: int = 0) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in build(config, seed).state_dict().items()}  # type: ignore[arg-type]


def hidden_of(packed: PackedModel, path: str = "auto") -> np.ndarray:
    """The hidden state after a prompt."""
    engine = NativeEngine(packed, path=path)
    grid = lay_out(packed.config, dialogue(packed.config, [(5, 30), (9, None)]))
    cache = engine.new_cache()
    engine.prefill(cache, grid.rows[:-1], grid.positions[:-1])
    return engine.trace(FrameRequest(cache, grid.rows[-1], int(grid.positions[-1]), 0, FrameSampling()))[1].hidden


@pytest.mark.parametrize("config", BOTH, ids=["plain", "aligned"])
def test_the_expected_tensors_are_the_modules(config: object) -> None:
    weights = arrays(config)
    assert {name: array.shape for name, array in weights.items()} == expected_shapes(config)  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", ["float16", "bfloat16", "int8", "int4", "compact"])
@pytest.mark.parametrize("config", BOTH, ids=["plain", "aligned"])
def test_a_rounded_network_is_the_torch_network_of_its_rounded_weights(config: object, plan: str) -> None:
    """Put what the kernels see back into the module: what is left is the rounding of activations and of the cache."""
    model = build(config)  # type: ignore[arg-type]
    packed = pack_model(config, arrays(config), PLANS[plan])  # type: ignore[arg-type]
    exact = hidden_of(pack_model(config, arrays(config), PLANS["float32"]))  # type: ignore[arg-type]
    unpacked = put_back(packed, model.state_dict())
    dequantized = hidden_of(pack_model(config, unpacked, PLANS["float32"]))  # type: ignore[arg-type]
    rounded = hidden_of(packed)
    weight_noise = signal_to_noise_db(exact, dequantized)
    assert signal_to_noise_db(dequantized, rounded) > max(30.0, weight_noise if plan in ("int4", "compact") else 0.0)


def put_back(packed: PackedModel, state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The named arrays of a network whose matrices are those that the kernels see."""
    config = packed.config
    out = {name: tensor.detach().numpy().copy() for name, tensor in state.items()}
    for name, prefix, stack in (("backbone", "backbone", config.backbone), ("depth", "decoder", config.depth)):
        heads, kv_heads, width = stack.heads, stack.kv_heads, stack.head_width
        padded = -(-width // 16) * 16
        for i in range(stack.layers):
            layer = f"{prefix}.layers.{i}"
            qkv = unpack(packed.matrices[f"{name}.{i}.qkv"]).reshape(-1, padded, stack.width)[:, :width]
            q, k, v = np.split(qkv, [heads, heads + kv_heads])
            for part, rows in (("q", q), ("k", k)):
                pairs = rows.reshape(len(rows), 2, width // 2, stack.width).swapaxes(1, 2)
                out[f"{layer}.attn.{part}_proj.weight"] = pairs.reshape(-1, stack.width)
            out[f"{layer}.attn.v_proj.weight"] = v.reshape(-1, stack.width)
            back = unpack(packed.matrices[f"{name}.{i}.out"]).reshape(stack.width, heads, padded)[..., :width]
            out[f"{layer}.attn.output_proj.weight"] = back.reshape(stack.width, -1)
            gate_up = unpack(packed.matrices[f"{name}.{i}.gate_up"]).reshape(-1, 2, 16, stack.width)
            for j, part in enumerate(("w1", "w3")):
                out[f"{layer}.mlp.{part}.weight"] = gate_up[:, j].reshape(-1, stack.width)[: stack.hidden]
            out[f"{layer}.mlp.w2.weight"] = unpack(packed.matrices[f"{name}.{i}.down"])
    out["codebook0_head.weight"] = unpack(packed.matrices["first_head"])
    return out


def test_exceptions_choose_the_format_of_single_matrices() -> None:
    plan = PLANS["int4"].with_exceptions(("backbone.*.down", Format("int8", 64)), ("head.0", Format("float32")))
    packed = pack_model(PLAIN, arrays(PLAIN), plan)
    kinds = {name: matrix.format for name, matrix in packed.matrices.items()}
    assert kinds["backbone.1.down"] == Format("int8", 64)
    assert kinds["backbone.1.qkv"] == kinds["head.1"] == kinds["depth.0.down"] == Format("int4", 32)
    assert kinds["head.0"] == Format("float32")
    assert np.isfinite(hidden_of(packed)).all()


def test_half_precision_arrays_give_the_same_network() -> None:
    """bfloat16 arrives as its bits; values that it can hold exactly must not change."""
    weights = arrays(PLAIN)
    bits = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in weights.items()}
    exact = {name: (array.astype(np.uint32) << 16).view(np.float32) for name, array in bits.items()}
    first, second = (hidden_of(pack_model(PLAIN, each, PLANS["float32"])) for each in (bits, exact))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("path", available_paths())
def test_weights_that_were_float16_stay_what_they_were(path: str) -> None:
    """Tiny ones too, below float16's own range of full precision."""
    halves = {name: (array * 2.0**-10).astype(np.float16) for name, array in arrays(ALIGNED).items()}
    exact, half = (hidden_of(pack_model(ALIGNED, halves, PLANS[plan]), path) for plan in ("float32", "float16"))
    assert np.abs(exact).max() > 0
    np.testing.assert_array_equal(half, exact)


@pytest.mark.parametrize("plan", ["float32", "float16", "int8", "int4", "compact"])
def test_a_file_of_packed_weights_speaks_as_its_source(plan: str, tmp_path: Path) -> None:
    packed = pack_model(ALIGNED, arrays(ALIGNED), PLANS[plan])
    path = tmp_path / "deep" / "model.packed"
    save_packed(packed, path, "this")
    again = load_packed(ALIGNED, PLANS[plan], path, "this")
    assert again is not None
    np.testing.assert_array_equal(hidden_of(again), hidden_of(packed))
    assert [entry.name for entry in path.parent.iterdir()] == ["model.packed"]


def test_a_file_of_another_source_plan_or_config_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "model.packed"
    assert load_packed(PLAIN, PLANS["int8"], path, "this") is None
    save_packed(pack_model(PLAIN, arrays(PLAIN), PLANS["int8"]), path, "this")
    assert load_packed(PLAIN, PLANS["int8"], path, "that") is None
    assert load_packed(PLAIN, PLANS["int4"], path, "this") is None
    assert load_packed(dataclasses.replace(PLAIN, text_vocab=51), PLANS["int8"], path, "this") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "head"])
def test_a_damaged_file_is_noticed(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "model.packed"
    save_packed(pack_model(PLAIN, arrays(PLAIN), PLANS["int8"]), path, "this")
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:-100]
    elif damage == "head":
        data[0] = 0
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsDamaged):
        load_packed(PLAIN, PLANS["int8"], path, "this")


def test_wrong_tensors_are_named() -> None:
    weights = arrays(PLAIN)
    weights["stranger"] = weights.pop("projection.weight")
    with pytest.raises(LayoutMismatch, match="projection"):
        check_shapes(PLAIN, weights)
    with pytest.raises(LayoutMismatch, match=r"codebook0_head.weight is \(1, 1\)"):
        check_shapes(PLAIN, arrays(PLAIN) | {"codebook0_head.weight": np.zeros((1, 1), np.float32)})


@pytest.mark.parametrize("field", ["heads", "hidden", "width", "head_width", "layers"])
def test_sizes_that_disagree_with_the_matrices_are_refused(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config that promises more than the block holds never reaches the kernels."""
    packed = pack_model(PLAIN, arrays(PLAIN), PLANS["int8"])
    real = native_model.NativeModel.__init__

    def lie(self: native_model.NativeModel, *args: object, **options: object) -> None:
        real(self, *args, **options)  # type: ignore[arg-type]
        larger = 10**6 if field == "layers" else getattr(self.c.backbone, field) * 4
        setattr(self.c.backbone, field, larger)

    monkeypatch.setattr(native_model.NativeModel, "__init__", lie)
    with pytest.raises(InputError):
        NativeEngine(packed)


def test_rotary_angles_are_the_modules() -> None:
    for stack in (PLAIN.backbone, PLAIN.depth, dataclasses.replace(PLAIN.backbone, rope_scaling=None)):
        theirs = llama_rope.inverse_frequencies(stack.head_width, stack.rope_base, stack.rope_scaling)
        ours = inverse_frequencies(stack.head_width, stack.rope_base, stack.rope_scaling)
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)
        cosines, sines = llama_rope.rotary_tables(stack.max_positions, theirs).numpy()
        np.testing.assert_allclose(rotary_tables(stack)[0], cosines[:, ::2], atol=2e-5)
        np.testing.assert_allclose(rotary_tables(stack)[1], sines[:, 1::2], atol=2e-5)
