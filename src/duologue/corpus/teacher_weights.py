"""The teacher's ONNX graph taken apart: the front as a model of its own, the weights of the rest as plain arrays.

The front (text, durations, pitch, the harmonic source) stays as it is. What turns its outputs into sound is computed
elsewhere (teacher_sound); its weights get the names that they have in StyleTTS 2's decoder. Knows nothing of computing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

DURATIONS = "/encoder/Clip_output_0"
CONTENT = "/encoder/MatMul_1_output_0"  # (1, 512, T) at 40 Hz
PITCH = "/decoder/decoder/F0_conv/Conv_output_0"  # (1, 1, T)
ENERGY = "/decoder/decoder/N_conv/Conv_output_0"  # (1, 1, T)
SOURCE = "/decoder/decoder/generator/Concat_3_output_0"  # (1, 22, 120 T + 1): magnitude and phase of the source
FRONT_OUTPUTS = [DURATIONS, CONTENT, PITCH, ENERGY, SOURCE]
ROOT = "decoder.decoder."
MATRICES = {"Conv_quant": "Conv", "Gemm_MatMul_quant": "Gemm"}

Weights = dict[str, np.ndarray]


def cut_front(model: Path) -> Path:
    """Write the part of the graph that FRONT_OUTPUTS need beside `model`, once and atomically."""
    target = model.with_name(model.stem + "-front.onnx")
    if target.exists() and target.stat().st_mtime >= model.stat().st_mtime:  # not another model's of this name
        return target
    import onnx
    from onnx import helper

    whole = onnx.load(str(model))
    graph = whole.graph
    nodes = needed(graph.node, FRONT_OUTPUTS)
    used = {name for node in nodes for name in node.input}
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in FRONT_OUTPUTS]
    front = helper.make_graph(
        nodes, "front", list(graph.input), outputs, [tensor for tensor in graph.initializer if tensor.name in used]
    )
    small = helper.make_model(front, opset_imports=list(whole.opset_import), ir_version=whole.ir_version)
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    onnx.save(small, str(temporary))
    temporary.replace(target)
    return target


def needed(nodes: Iterable[Any], outputs: Iterable[str]) -> list[Any]:
    """Those of the nodes, given and returned in the order of execution, on which the outputs depend."""
    wanted, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def read_sound(model: Path) -> Weights:
    """Weights of decoder and generator: `….weight` (out, in[, kernel]), `….bias` (out,), `….alphaI.J` (channels,)."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(model)).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return sound_weights(graph.node, arrays)


def sound_weights(nodes: Iterable[Any], arrays: Weights) -> Weights:
    """The same of a graph's nodes and constants: integers become (w - zero point) scale, in float32."""
    found: Weights = {}
    for node in nodes:
        layer, _, kind = node.name.removeprefix("/").replace("/", ".").rpartition(".")
        if not layer.startswith(ROOT):
            continue
        layer = _without_repeats(layer.removeprefix(ROOT))
        if kind in MATRICES and node.op_type in ("ConvInteger", "MatMulInteger"):
            weight = _dequantized(node.input[1], node.input[3], arrays)
            found[f"{layer}.weight"] = weight if node.op_type == "ConvInteger" else np.ascontiguousarray(weight.T)
        elif node.op_type in ("Conv", "ConvTranspose"):
            found[f"{layer}.weight"] = arrays[node.input[1]]
    biases = {name.removeprefix(ROOT): array for name, array in arrays.items() if name.startswith(ROOT)}
    found |= {name: array.ravel() for name, array in biases.items() if name.endswith(".bias") or ".alpha" in name}
    found["window_sum"] = biases["generator.stft.istft.stft.window_sum"]
    return found


def _dequantized(weight: str, zero_point: str, arrays: Weights) -> np.ndarray:
    scale = arrays[weight.removesuffix("_quantized") + "_scale"]  # zero points are shared between layers, scales not
    return (arrays[weight].astype(np.float32) - arrays[zero_point].astype(np.float32)) * scale


def _without_repeats(layer: str) -> str:
    """asr_res.asr_res.0 is asr_res.0: the exporter repeats the name of a list."""
    parts = layer.split(".")
    return ".".join(part for number, part in enumerate(parts) if number == 0 or part != parts[number - 1])
