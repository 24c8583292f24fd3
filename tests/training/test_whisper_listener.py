"""Whisper's encoder as a listener: the same numbers as CTranslate2's, a loss with a gradient, damaged files refused."""

import struct

import numpy as np
import pytest
import soxr
import torch
from faster_whisper import WhisperModel

from duologue.errors import InputError, WeightsDamaged
from duologue.evaluation.asr import ASR_RATE_HZ
from duologue.training.ctranslate2_file import read_ctranslate2
from duologue.training.whisper_listener import WhisperListener, difference_heard, tiny_whisper
from tests.tiny import speech_like

from .ctranslate2_writer import write_ctranslate2


@pytest.fixture(scope="module")
def listener():
    return WhisperListener()


def test_the_layers_are_those_of_whisper(listener):
    sound = speech_like(3.0)
    whisper = WhisperModel(str(tiny_whisper().parent), device="cpu", compute_type="float32", cpu_threads=1)
    mel = whisper.feature_extractor(soxr.resample(sound, 24_000, ASR_RATE_HZ).astype(np.float32))[:, :300]
    expected = np.asarray(whisper.encode(np.ascontiguousarray(mel)), np.float32)[0]
    final = read_ctranslate2(tiny_whisper())
    gamma, beta = (
        torch.from_numpy(final[f"encoder/layer_norm/{part}"].astype(np.float32)) for part in ("gamma", "beta")
    )
    last = listener.inner(torch.from_numpy(mel)[None].float())[-1]
    ours = torch.nn.functional.layer_norm(last, (384,), gamma, beta)[0]
    assert np.abs(ours.numpy() - expected).max() < 1e-3 * np.abs(expected).max()


def test_the_spectrum_is_whispers_without_resampling(listener):
    sound = speech_like(3.0)
    whisper = WhisperModel(str(tiny_whisper().parent), device="cpu", compute_type="float32", cpu_threads=1)
    theirs = whisper.feature_extractor(soxr.resample(sound, 24_000, ASR_RATE_HZ).astype(np.float32))[:, :300]
    ours = listener.spectrum(listener.power(torch.from_numpy(sound)[None]))[0].numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs)[:75].mean() < 0.01 * theirs.std(), "the top bands see the resampler's edge"


def test_equal_sounds_are_heard_as_equal_and_others_give_a_gradient(listener):
    real = torch.from_numpy(np.stack([speech_like(1.0), speech_like(1.0)[::-1].copy()]))
    assert difference_heard(listener, real, real).item() == 0.0
    noise = torch.randn_like(real) * 0.01
    made = (real + noise).requires_grad_()
    near = difference_heard(listener, real, made)
    near.backward()
    assert made.grad is not None and made.grad.abs().max() > 0
    assert 0 < near.item() < difference_heard(listener, real, real + 10 * noise).item()
    assert all(parameter.grad is None for parameter in listener.parameters()), "it stays as it is"


def test_more_than_thirty_seconds_are_refused(listener):
    with pytest.raises(InputError, match="30 s"):
        listener(torch.zeros(1, 24_000 * 31))


def test_a_file_is_read_back(tmp_path):
    wanted = {"a/weight": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.array(4, np.int16)}
    write_ctranslate2(tmp_path / "model.bin", wanted)
    found = read_ctranslate2(tmp_path / "model.bin")
    assert list(found) == list(wanted)
    assert all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in wanted.items()
    )


@pytest.mark.parametrize(
    ("place", "kind", "value", "field"),
    [
        (0, "I", 9, "version"),
        (12, "I", 1 << 30, "count"),
        (20, "B", 200, "rank"),
        (21, "I", 5, "shape"),
        (29, "B", 77, "type"),
    ],
)
def test_untrue_files_are_refused_by_name(tmp_path, place, kind, value, field):
    path = tmp_path / "model.bin"
    write_ctranslate2(path, {"a": np.zeros((2, 3), np.float32)}, specification="S")
    data = bytearray(path.read_bytes())
    struct.pack_into("<" + kind, data, place, value)
    path.write_bytes(bytes(data))
    with pytest.raises(WeightsDamaged) as caught:
        read_ctranslate2(path)
    assert caught.value.field == field


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    write_ctranslate2(path, {"a": np.zeros((2, 3), np.float32)})
    data = path.read_bytes()
    for length in range(len(data) - 4):  # the last four bytes count the aliases, which are not read
        path.write_bytes(data[:length])
        with pytest.raises(WeightsDamaged):
            read_ctranslate2(path)
