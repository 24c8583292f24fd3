"""The teacher's sound in torch: the layers are the usual ones, and the whole is a plain reading of the same weights."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from duologue.corpus import teacher_engines, teacher_layers, teacher_sound
from duologue.corpus.teacher_weights import needed, sound_weights
from duologue.errors import BackendUnavailable, InputError

WIDE, SPOKEN, LOOK = 12, 6, 8  # channels of decoder and generator, of the content, of a voice's style


@pytest.mark.parametrize("frames", [1, 7, 16, 37])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (7, 3), (11, 5)])
def test_a_convolution_in_blocks_is_the_whole_convolution(frames, kernel, dilation):
    torch.manual_seed(0)
    weight, bias, x = torch.randn(5, 4, kernel), torch.randn(5), torch.randn(frames, 4)
    made = teacher_layers.Convolution(weight, bias, dilation, block=16, dtype=torch.float32).of(x)
    whole = F.conv1d(x.T[None], weight, bias, padding="same", dilation=dilation)[0].T
    torch.testing.assert_close(made, whole, atol=1e-4, rtol=1e-4)


def test_without_onednn_the_numbers_are_the_same(monkeypatch):
    torch.manual_seed(0)
    weight, bias, x = torch.randn(5, 4, 3), torch.randn(5), torch.randn(40, 4)
    packed = teacher_layers.Convolution(weight, bias, 3, block=16, dtype=torch.float32).of(x)
    monkeypatch.setattr(teacher_layers, "can_pack", lambda dtype: False)
    plain = teacher_layers.Convolution(weight, bias, 3, block=16, dtype=torch.float32).of(x)
    torch.testing.assert_close(packed, plain, atol=1e-5, rtol=1e-5)


def test_other_lengths_are_the_usual_convolutions():
    torch.manual_seed(0)
    x = torch.randn(9, 4)
    weight, bias = torch.randn(4, 3, 12), torch.randn(3)
    made = teacher_layers.Upsampling(weight, bias, torch.float32)(x)
    torch.testing.assert_close(made, F.conv_transpose1d(x.T[None], weight, bias, stride=6, padding=3)[0].T)
    weight, bias = torch.randn(4, 1, 3), torch.randn(4)
    twice = F.conv_transpose1d(x.T[None], weight, bias, stride=2, padding=1, output_padding=1, groups=4)
    torch.testing.assert_close(teacher_layers.doubled(x, weight, bias), twice[0].T)
    x, weight, bias = torch.randn(61, 4), torch.randn(3, 4, 12), torch.randn(3)
    made = teacher_layers.strided(x, weight, bias, stride=6)
    torch.testing.assert_close(made, F.conv1d(x.T[None], weight, bias, stride=6, padding=3)[0].T)
    windows = torch.randn(9, 20)
    laid = F.conv_transpose1d(windows.T[None], torch.eye(20)[:, None], stride=5)[0, 0]
    torch.testing.assert_close(teacher_layers.overlap_add(windows, 5), laid)


def test_moments_in_pieces_survive_a_mean_far_from_zero():
    x = torch.randn(1000, 3) + 1000
    affine = teacher_layers.moments_of(x, 64).affine(torch.zeros(6))
    normal = F.batch_norm(x.double(), None, None, training=True, eps=1e-5)
    torch.testing.assert_close((x.double() * affine.gain + affine.shift), normal, atol=2e-3, rtol=0)


@pytest.mark.parametrize("frames", [2, 21])
def test_the_sound_is_a_plain_reading_of_its_weights(frames):
    weights, planned = random_weights(), random_plan(frames)
    made = teacher_sound.Sound(weights, torch.float32)(*planned)
    plain = plain_sound({name: torch.from_numpy(array) for name, array in weights.items()}, *planned)
    assert made.shape == (600 * frames,)
    np.testing.assert_allclose(made, plain, atol=1e-3 * np.abs(plain).max())


def test_bfloat16_is_near_and_repeats():
    weights, planned = random_weights(), random_plan(30)
    exact = teacher_sound.Sound(weights, torch.float32)(*planned)
    sound = teacher_sound.Sound(weights)
    rough = sound(*planned)
    assert np.corrcoef(exact, rough)[0, 1] > 0.99
    sound(*random_plan(11))
    np.testing.assert_array_equal(sound(*planned), rough)


def test_integers_become_what_they_stand_for():
    arrays = {
        "a_quantized": np.array([[[3, 5]]], np.uint8), "shared_zero_point": np.uint8(4), "a_scale": np.float32(0.5),
        "b_quantized": np.array([[1, -2], [3, 4]], np.int8), "b_zero_point": np.array([0, 1], np.int8),
        "b_scale": np.array([1, 2], np.float32), "decoder.decoder.generator.block.alpha1.0": np.ones((1, 2, 1)),
        "decoder.decoder.asr_res.0.bias": np.ones(1), "encoder.bias": np.ones(1),
        "decoder.decoder.generator.stft.istft.stft.window_sum": np.ones(20),
    }  # fmt: skip
    nodes = [
        _node("ConvInteger", "/decoder/decoder/asr_res/asr_res.0/Conv_quant", "x a_quantized z shared_zero_point"),
        _node("MatMulInteger", "/decoder/decoder/encode/norm1/fc/Gemm_MatMul_quant", "x b_quantized z b_zero_point"),
        _node("ConvInteger", "/encoder/conv/Conv_quant", "x a_quantized z shared_zero_point"),
    ]
    weights = sound_weights(nodes, arrays)
    assert weights["asr_res.0.weight"].tolist() == [[[-0.5, 0.5]]]
    assert weights["encode.norm1.fc.weight"].tolist() == [[1, 3], [-6, 6]]  # (out, in)
    assert weights["generator.block.alpha1.0"].shape == (2,)
    assert set(weights) == {
        "asr_res.0.weight", "asr_res.0.bias", "encode.norm1.fc.weight", "generator.block.alpha1.0", "window_sum"
    }  # fmt: skip


def test_the_front_is_what_its_outputs_need():
    first, aside, last = _node("A", "1", "x", "y"), _node("B", "2", "y", "z"), _node("C", "3", "y", "w")
    assert needed([first, aside, last], ["w"]) == [first, last]


def test_the_front_alone_says_what_the_whole_graph_says(tmp_path):
    import onnx
    import onnxruntime

    from duologue.corpus import teacher_weights as weights

    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [node("Add", ["tokens", "one"], [name], name=name) for name in weights.FRONT_OUTPUTS]
    nodes.append(node("Mul", [weights.SOURCE, "two"], ["audio"], name="sound"))
    constants = [onnx.numpy_helper.from_array(np.float32(n), name) for n, name in ((1, "one"), (2, "two"))]
    graph = onnx.helper.make_graph(nodes, "g", [value("tokens", 1, [3])], [value("audio", 1, [3])], constants)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / "whole.onnx",
    )
    front = onnxruntime.InferenceSession(weights.cut_front(tmp_path / "whole.onnx"))
    made = front.run(None, {"tokens": np.arange(3, dtype=np.float32)})
    assert [array.tolist() for array in made] == [[1, 2, 3]] * 5
    assert [tensor.name for tensor in onnx.load(tmp_path / "whole-front.onnx").graph.initializer] == ["one"]


@pytest.mark.parametrize(
    ("asked", "torch_here", "units", "engine", "said"),
    [
        ("auto", True, True, "torch", "matrix units"),
        ("auto", True, False, "onnx", "no bfloat16 matrix units"),
        ("auto", False, True, "onnx", "not installed"),
        ("onnx", True, True, "onnx", "as asked"),
        ("torch", True, False, "torch", "no matrix units"),
    ],
)
def test_the_engine_is_chosen_aloud(monkeypatch, asked, torch_here, units, engine, said):
    monkeypatch.setattr(teacher_engines.importlib.util, "find_spec", lambda name: object() if torch_here else None)
    monkeypatch.setattr(teacher_sound, "has_matrix_units", lambda: units)
    chosen, line = teacher_engines.choose(asked)
    assert chosen == engine and line.startswith(f"teacher: {engine}") and said in line


def test_an_engine_that_cant_be_had_is_an_error(monkeypatch):
    monkeypatch.setattr(teacher_engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match="torch"):
        teacher_engines.choose("torch")
    with pytest.raises(InputError, match="no engine 'tensor'"):
        teacher_engines.choose("tensor")


def _node(kind: str, name: str, inputs: str, outputs: str = "") -> SimpleNamespace:
    return SimpleNamespace(op_type=kind, name=name, input=inputs.split(), output=outputs.split())


def random_plan(frames: int) -> tuple[np.ndarray, ...]:
    """Content, pitch, energy, source, style."""
    rng = np.random.default_rng(frames)
    shapes = ((1, SPOKEN, frames), (1, 1, frames), (1, 1, frames), (1, 22, 120 * frames + 1), (1, LOOK))
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)


def random_weights() -> dict[str, np.ndarray]:
    """A decoder and generator of WIDE channels."""
    shapes: dict[str, tuple[int, ...]] = {"asr_res.0.weight": (4, SPOKEN, 1), "asr_res.0.bias": (4,)}
    for block in ("encode", *(f"decode.{i}" for i in range(4))):
        inner = SPOKEN + 2 if block == "encode" else WIDE + 4 + 2
        _add(shapes, f"{block}.conv1", (WIDE, inner, 3))
        _add(shapes, f"{block}.conv2", (WIDE, WIDE, 3))
        _add(shapes, f"{block}.norm1.fc", (2 * inner, LOOK))
        _add(shapes, f"{block}.norm2.fc", (2 * WIDE, LOOK))
        shapes[f"{block}.conv1x1.weight"] = (WIDE, inner, 1)
    shapes |= {"decode.3.pool.weight": (WIDE + 6, 1, 3), "decode.3.pool.bias": (WIDE + 6,)}
    for i, kernel, harmonics in ((0, 20, 12), (1, 12, 1)):
        _add(shapes, f"generator.ups.{i}", (WIDE, WIDE, kernel))
        _add(shapes, f"generator.noise_convs.{i}", (WIDE, 22, harmonics))
    for name, kernel in [
        ("noise_res.0", 7),
        ("noise_res.1", 11),
        *((f"resblocks.{i}", (3, 7, 11)[i % 3]) for i in range(6)),
    ]:
        for step in range(3):
            for half in (1, 2):
                _add(shapes, f"generator.{name}.convs{half}.{step}", (WIDE, WIDE, kernel))
                _add(shapes, f"generator.{name}.adain{half}.{step}.fc", (2 * WIDE, LOOK))
                shapes[f"generator.{name}.alpha{half}.{step}"] = (WIDE,)
    _add(shapes, "generator.conv_post", (22, WIDE, 7))
    shapes |= {"generator.istft.stft.weight": (22, 1, 20), "window_sum": (20,)}
    rng = np.random.default_rng(1)
    weights = {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:], initial=4))).astype(np.float32)
        for name, shape in shapes.items()
    }
    return weights | {
        name: np.abs(array) + 0.5 for name, array in weights.items() if "alpha" in name or "window" in name
    }


def _add(shapes: dict[str, tuple[int, ...]], name: str, shape: tuple[int, ...]) -> None:
    shapes |= {f"{name}.weight": shape, f"{name}.bias": (shape[1] if ".ups." in name else shape[0],)}


def plain_sound(w: dict[str, torch.Tensor], *planned: np.ndarray) -> np.ndarray:
    """Kokoro's decoder and generator, channels first, as StyleTTS 2 writes them."""
    content, pitch, energy, source, look = map(torch.from_numpy, planned)

    def conv(name: str, x: torch.Tensor, **options: object) -> torch.Tensor:
        return F.conv1d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), **options)

    def adain(name: str, x: torch.Tensor) -> torch.Tensor:
        scale, offset = F.linear(look, w[f"{name}.fc.weight"], w[f"{name}.fc.bias"])[:, :, None].chunk(2, 1)
        return (1 + scale) * F.instance_norm(x) + offset

    def decode(name: str, x: torch.Tensor) -> torch.Tensor:
        y = F.leaky_relu(adain(f"{name}.norm1", x), 0.2)
        if name == "decode.3":
            pool = {"stride": 2, "padding": 1, "output_padding": 1, "groups": y.shape[1]}
            y = F.conv_transpose1d(y, w[f"{name}.pool.weight"], w[f"{name}.pool.bias"], **pool)
            x = F.interpolate(x, scale_factor=2)
        y = conv(f"{name}.conv1", y, padding=1)
        y = conv(f"{name}.conv2", F.leaky_relu(adain(f"{name}.norm2", y), 0.2), padding=1)
        return (y + conv(f"{name}.conv1x1", x)) / 2**0.5

    def residual(name: str, x: torch.Tensor) -> torch.Tensor:
        for step, dilation in enumerate((1, 3, 5)):
            y = x
            for half, spread in ((1, dilation), (2, 1)):
                alpha = w[f"generator.{name}.alpha{half}.{step}"][None, :, None]
                y = adain(f"generator.{name}.adain{half}.{step}", y)
                y = y + torch.sin(alpha * y) ** 2 / alpha
                y = conv(f"generator.{name}.convs{half}.{step}", y, padding="same", dilation=spread)
            x = x + y
        return x

    spoken = conv("asr_res.0", content)
    x = decode("encode", torch.cat([content, pitch, energy], 1))
    for i in range(4):
        x = decode(f"decode.{i}", torch.cat([x, spoken, pitch, energy], 1))
    for i, stride in enumerate((10, 6)):
        up = w[f"generator.ups.{i}.weight"], w[f"generator.ups.{i}.bias"]
        x = F.conv_transpose1d(F.leaky_relu(x, 0.1), *up, stride=stride, padding=stride // 2)
        x = F.pad(x, (1, 0), mode="reflect") if i else x
        x = x + residual(
            f"noise_res.{i}", conv(f"generator.noise_convs.{i}", source, **({} if i else {"stride": 6, "padding": 3}))
        )
        x = sum(residual(f"resblocks.{3 * i + j}", x) for j in range(3)) / 3
    x = conv("generator.conv_post", F.leaky_relu(x, 0.01), padding=3)
    magnitude, phase = x[:, :11].exp(), x[:, 11:].sin()
    parts = torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], 1)
    samples = F.conv_transpose1d(parts, w["generator.istft.stft.weight"], stride=5)[0, 0]
    samples[:20] /= w["window_sum"]
    return (4 * samples[10:-10]).numpy()
