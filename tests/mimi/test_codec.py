"""What the codec promises of whole clips."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.errors import AudioError, InputError
from duologue.mimi import codec as codec_module
from duologue.mimi.codec import NO_CODE

from .codecs import FRAME, short_sighted, small, sounds, speech

ODD = 17 * FRAME + 777  # a length whose last frame is partial


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (FRAME - 1, 1), (FRAME, 1), (FRAME + 1, 2), (ODD, 18)])
@pytest.mark.parametrize("tail", ["waveform", "layers"])
def test_a_clip_gives_a_frame_for_every_begun_80_ms(samples, frames, tail):
    codes = small().encode(sounds()[..., :samples], tail=tail)
    assert codes.shape == (2, 8, frames) and codes.dtype == torch.int64
    assert small().decode(codes).shape == (2, 1, frames * FRAME)


def test_codes_use_their_range():
    codes = small().encode(speech())
    assert codes.min() >= 0 and codes.max() < 64
    assert all(len(level.unique()) > 20 for level in codes[0])


def test_the_two_tail_rules_differ_in_the_last_frame_only():
    wav = sounds()[..., :ODD]
    by_waveform, by_layers = small().encode(wav), small().encode(wav, tail="layers")
    assert torch.equal(by_waveform[..., :-1], by_layers[..., :-1])
    assert not torch.equal(by_waveform[..., -1], by_layers[..., -1])


def test_the_tail_rules_agree_on_whole_frames():
    wav = sounds()[..., : 9 * FRAME]
    assert torch.equal(small().encode(wav), small().encode(wav, tail="layers"))


def test_the_waveform_rule_is_silence_appended():
    wav = sounds()[..., :ODD]
    padded = torch.nn.functional.pad(wav, (0, FRAME - 777))
    assert torch.equal(small().encode(wav), small().encode(padded))


@settings(max_examples=8, deadline=None, derandomize=True)
@given(frame=st.integers(1, 19))
def test_the_future_never_changes_the_past(frame):
    codec, wav = small(), sounds()[..., : 20 * FRAME]
    other = wav.clone()
    other[..., frame * FRAME :] = 3 * torch.randn_like(other[..., frame * FRAME :])
    codes, others = codec.encode(wav), codec.encode(other)
    assert torch.equal(codes[..., :frame], others[..., :frame])
    assert not torch.equal(codes[..., frame:], others[..., frame:])
    changed = codes.clone()
    changed[..., frame:] = (changed[..., frame:] + 1) % 64
    sound, changed_sound = codec.decode(codes), codec.decode(changed)
    assert torch.equal(sound[..., : frame * FRAME], changed_sound[..., : frame * FRAME])
    assert not torch.equal(sound[..., frame * FRAME :], changed_sound[..., frame * FRAME :])


@pytest.mark.parametrize("count", range(1, 9))
def test_fewer_codebooks_are_the_first_of_all(count):
    wav = sounds()[..., : 6 * FRAME]
    assert torch.equal(small().encode(wav, num_codebooks=count), small().encode(wav)[:, :count])


@pytest.mark.parametrize("tail", ["waveform", "layers"])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(1, 12 * FRAME), min_size=2, max_size=4))
def test_a_row_of_a_batch_gets_the_codes_it_would_get_alone(tail, lengths):
    codec = small()
    batch = torch.full((len(lengths), 1, max(lengths)), torch.nan)  # what follows a row's end must not be heard
    for row, length in enumerate(lengths):
        batch[row, 0, :length] = speech()[0, 0, row * 9_000 : row * 9_000 + length]
    codes = codec.encode(batch, lengths=torch.tensor(lengths), tail=tail)
    for row, length in enumerate(lengths):
        alone = codec.encode(batch[row : row + 1, :, :length], tail=tail)
        frames = alone.shape[-1]
        assert torch.equal(codes[row, :, :frames], alone[0])
        assert (codes[row, :, frames:] == NO_CODE).all()


def test_a_row_of_a_batch_gets_the_sound_it_would_get_alone():
    codec, codes = small(), small().encode(sounds())
    codes[1, :, 7:] = NO_CODE
    together = codec.decode(codes, lengths=torch.tensor([codes.shape[-1], 7]))
    torch.testing.assert_close(together[:1], codec.decode(codes[:1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(together[1:, :, : 7 * FRAME], codec.decode(codes[1:, :, :7]), atol=1e-5, rtol=0)
    assert (together[1, :, 7 * FRAME :] == 0).all()


@pytest.mark.parametrize("tail", ["waveform", "layers"])
def test_working_through_long_clips_in_pieces_changes_nothing(monkeypatch, tail):
    codec, wav = short_sighted(), sounds()[..., :ODD]
    lengths = torch.tensor([ODD, 8 * FRAME + 5])
    codes = codec.encode(wav, lengths=lengths, tail=tail)
    sound = codec.decode(codes[:1])
    monkeypatch.setattr(codec_module, "PIECE_FRAMES", 4)
    assert torch.equal(codec.encode(wav, lengths=lengths, tail=tail), codes)
    torch.testing.assert_close(codec.decode(codes[:1]), sound, atol=1e-5, rtol=0)


def test_the_same_sound_gives_the_same_codes_and_the_same_codes_the_same_sound():
    codes = small().encode(sounds())
    assert torch.equal(codes, small().encode(sounds()))
    assert torch.equal(small().decode(codes), small().decode(codes))


def test_training_can_reach_both_ends():
    codec = small()
    wav = sounds()[..., : 4 * FRAME].clone().requires_grad_()
    codec.sound(codec.latents(wav)).square().mean().backward()
    assert wav.grad is not None and wav.grad.abs().sum() > 0
    weights = {name: parameter.grad for name, parameter in codec.named_parameters() if "quantizer" not in name}
    assert all(grad is not None and grad.abs().sum() > 0 for grad in weights.values())
    codec.zero_grad(set_to_none=True)


@pytest.mark.parametrize(
    "wav",
    [torch.zeros(24_000), torch.zeros(1, 2, 24_000), torch.zeros(1, 1, 0), torch.zeros(1, 1, 100, dtype=torch.int16)],
)
def test_what_is_not_sound_is_refused(wav):
    with pytest.raises(AudioError):
        small().encode(wav)


@pytest.mark.parametrize("codes", [64, 2050, -1])
def test_codes_outside_the_codebooks_are_refused(codes):
    with pytest.raises(InputError, match="0 to 63"):
        small().decode(torch.full((1, 8, 3), codes))


@pytest.mark.parametrize(
    "codes",
    [
        torch.zeros(8, 3, dtype=torch.int64),
        torch.zeros(1, 9, 3, dtype=torch.int64),
        torch.zeros(1, 8, 0, dtype=torch.int64),
        torch.zeros(1, 8, 3),
    ],
)
def test_codes_of_the_wrong_shape_or_kind_are_refused(codes):
    with pytest.raises(InputError):
        small().decode(codes)


@pytest.mark.parametrize("count", [0, 9, -1])
def test_a_wrong_number_of_codebooks_is_refused(count):
    with pytest.raises(InputError, match="1 to 8"):
        small().encode(sounds(), num_codebooks=count)


@pytest.mark.parametrize("lengths", [[0, 5], [5, 96_001], [5], [1.5, 2.5]])
def test_wrong_lengths_are_refused(lengths):
    with pytest.raises(InputError, match="lengths"):
        small().encode(sounds(), lengths=torch.tensor(lengths))


def test_an_unknown_tail_rule_is_refused():
    with pytest.raises(InputError, match="tail"):
        small().encode(sounds(), tail="circular")  # type: ignore[arg-type]
