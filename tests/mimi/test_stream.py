"""Streaming equals the whole, states are values, and streams can be kept, split and merged."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from duologue.errors import AudioError, InputError
from duologue.mimi.stream import StreamEncoder, flatten_state, join_rows, restore_state, select_rows

from .codecs import FRAME, short_sighted, small, sounds, speech

CUTS = st.lists(st.integers(1, 20), min_size=1, max_size=8)


def _pieces(length, cuts):
    """Cut `length` at running sums of `cuts`, over and over."""
    place, number = 0, 0
    while place < length:
        end = min(length, place + cuts[number % len(cuts)])
        yield place, end
        place, number = end, number + 1


@settings(max_examples=10, deadline=None, derandomize=True)
@given(cuts=CUTS)
def test_encoding_in_pieces_equals_the_whole(cuts):
    codec, wav = short_sighted(), sounds()[..., : 40 * FRAME]
    state, codes, latents_state, latents = codec.init_encode_state(2), [], codec.init_encode_state(2), []
    for start, end in _pieces(40, cuts):
        piece = wav[..., start * FRAME : end * FRAME]
        part, state = codec.encode_step(piece, state)
        codes.append(part)
        with torch.no_grad():
            part, latents_state = codec.latents_step(piece, state=latents_state)
        latents.append(part)
    assert torch.equal(torch.cat(codes, dim=-1), codec.encode(wav))
    torch.testing.assert_close(torch.cat(latents, dim=-1), codec.latents(wav).detach(), atol=1e-5, rtol=0)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(cuts=CUTS)
def test_decoding_in_pieces_equals_the_whole(cuts):
    codec = short_sighted()
    codes = codec.encode(sounds()[..., : 40 * FRAME])
    state, sound = codec.init_decode_state(2), []
    for start, end in _pieces(40, cuts):
        piece, state = codec.decode_step(codes[..., start:end], state)
        assert piece.shape == (2, 1, (end - start) * FRAME)
        sound.append(piece)
    torch.testing.assert_close(torch.cat(sound, dim=-1), codec.decode(codes), atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [1, 150])
def test_streaming_equals_the_whole_beyond_the_ten_seconds_of_attention(frames):
    codec = small()
    wav = speech()[..., : 300 * FRAME]  # 24 s
    whole = codec.encode(wav)
    encode_state, decode_state, codes, sound = codec.init_encode_state(1), codec.init_decode_state(1), [], []
    for start in range(0, 300, frames):
        part, encode_state = codec.encode_step(wav[..., start * FRAME : (start + frames) * FRAME], encode_state)
        codes.append(part)
        piece, decode_state = codec.decode_step(whole[..., start : start + frames], decode_state)
        sound.append(piece)
    assert torch.equal(torch.cat(codes, dim=-1), whole)
    torch.testing.assert_close(torch.cat(sound, dim=-1), codec.decode(whole), atol=1e-5, rtol=0)


def test_attention_reaches_back_its_whole_context_and_no_farther():
    # Frame 0 is in steps 0..3; two layers look 11 steps back, the first convolution 6, the next 1: 3+22+6+1 = 32.
    codec = short_sighted()
    codes = codec.encode(sounds()[:1])[..., :40]
    other = codes.clone()
    other[..., 0] = (other[..., 0] + 1) % 64
    difference = (codec.decode(codes) - codec.decode(other)).abs().unflatten(-1, (-1, FRAME)).amax((0, 1, 3))
    assert difference[32 // 2] > 0
    assert difference[32 // 2 + 1 :].max() == 0


@settings(max_examples=10, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(1, 5_000), min_size=1, max_size=6), tail=st.sampled_from(["waveform", "layers"]))
def test_sound_may_arrive_in_pieces_of_any_size(cuts, tail):
    codec, wav = short_sighted(), sounds()[..., :31_234]
    encoder = StreamEncoder(codec, batch=2, num_codebooks=5)
    codes = [encoder.push(wav[..., start:end]) for start, end in _pieces(wav.shape[-1], cuts)]
    codes.append(encoder.finish(tail))
    assert torch.equal(torch.cat(codes, dim=-1), codec.encode(wav, num_codebooks=5, tail=tail))


def test_a_finished_encoder_starts_afresh():
    encoder = StreamEncoder(small(), batch=2)
    for _ in range(2):
        codes = torch.cat((encoder.push(sounds()[..., :5_000]), encoder.finish()), dim=-1)
        assert torch.equal(codes, small().encode(sounds()[..., :5_000]))
    assert encoder.finish().shape == (2, 8, 0)


def test_a_saved_state_resumes(tmp_path):
    codec, wav = short_sighted(), sounds()[..., : 30 * FRAME]
    whole = codec.encode(wav)
    _, encode_state = codec.encode_step(wav[..., : 17 * FRAME], codec.init_encode_state(2))
    _, decode_state = codec.decode_step(whole[..., :17], codec.init_decode_state(2))
    save_file(flatten_state(encode_state), tmp_path / "encode.safetensors")
    save_file(flatten_state(decode_state), tmp_path / "decode.safetensors")

    encode_again = restore_state(load_file(tmp_path / "encode.safetensors"), codec.init_encode_state(2))
    decode_again = restore_state(load_file(tmp_path / "decode.safetensors"), codec.init_decode_state(2))
    codes, _ = codec.encode_step(wav[..., 17 * FRAME :], encode_again)
    sound, _ = codec.decode_step(whole[..., 17:], decode_again)
    assert torch.equal(codes, codec.encode_step(wav[..., 17 * FRAME :], encode_state)[0])
    assert torch.equal(sound, codec.decode_step(whole[..., 17:], decode_state)[0])
    assert torch.equal(codes, whole[..., 17:])


def test_a_fresh_state_can_be_saved_too(tmp_path):
    codec = small()
    save_file(flatten_state(codec.init_decode_state(1)), tmp_path / "state.safetensors")
    state = restore_state(load_file(tmp_path / "state.safetensors"), codec.init_decode_state(1))
    codes = codec.encode(sounds()[:1, :, :FRAME])
    assert torch.equal(codec.decode_step(codes, state)[0], codec.decode(codes))


def test_a_step_leaves_the_state_it_was_given():
    codec, wav = small(), sounds()[..., : 6 * FRAME]
    _, encode_state = codec.encode_step(wav[..., : 2 * FRAME], codec.init_encode_state(2))
    _, decode_state = codec.decode_step(codec.encode(wav)[..., :2], codec.init_decode_state(2))
    for state, step, piece in (
        (encode_state, codec.encode_step, wav[..., 2 * FRAME :]),
        (decode_state, codec.decode_step, codec.encode(wav)[..., 2:]),
    ):
        before = copy.deepcopy(flatten_state(state))
        first, second = step(piece, state)[0], step(piece, state)[0]
        assert torch.equal(first, second)
        assert all(torch.equal(tensor, before[name]) for name, tensor in flatten_state(state).items())


def test_a_state_of_another_codec_is_refused():
    with pytest.raises(InputError, match="another codec"):
        restore_state(flatten_state(small().init_encode_state(1)), small().init_decode_state(1))


def test_streams_of_different_ages_can_step_together_and_part_again():
    codec, codes = short_sighted(), short_sighted().encode(sounds())
    old, new = codes[:1], codes[1:]
    _, old_state = codec.decode_step(old[..., :20], codec.init_decode_state(1))
    _, new_state = codec.decode_step(new[..., :1], codec.init_decode_state(1))
    state, sound = join_rows([old_state, new_state]), []
    for offset in range(9):
        batch = torch.cat((old[..., 20 + offset : 21 + offset], new[..., 1 + offset : 2 + offset]))
        piece, state = codec.decode_step(batch, state)
        sound.append(piece)
    together = torch.cat(sound, dim=-1)
    torch.testing.assert_close(together[0], codec.decode(old)[0, :, 20 * FRAME : 29 * FRAME], atol=1e-5, rtol=0)
    torch.testing.assert_close(together[1], codec.decode(new)[0, :, FRAME : 10 * FRAME], atol=1e-5, rtol=0)
    piece, _ = codec.decode_step(new[..., 10:12], select_rows(state, [1]))
    torch.testing.assert_close(piece[0], codec.decode(new)[0, :, 10 * FRAME : 12 * FRAME], atol=1e-5, rtol=0)


def test_encoders_of_different_ages_can_step_together():
    codec, wav = short_sighted(), sounds()[..., : 20 * FRAME]
    _, old = codec.encode_step(wav[:1, :, : 10 * FRAME], codec.init_encode_state(1))
    state = join_rows([old, codec.init_encode_state(1)])
    batch = torch.cat((wav[:1, :, 10 * FRAME :], wav[1:, :, : 10 * FRAME]))
    codes, _ = codec.encode_step(batch, state)
    whole = codec.encode(wav)
    assert torch.equal(codes[0], whole[0, :, 10:]) and torch.equal(codes[1], whole[1, :, :10])


@pytest.mark.parametrize("samples", [1, FRAME - 1, FRAME + 960])
def test_a_step_takes_whole_frames_only(samples):
    with pytest.raises(AudioError, match="whole frames"):
        small().encode_step(sounds()[..., :samples], small().init_encode_state(2))


def test_a_step_refuses_codes_outside_the_codebooks():
    with pytest.raises(InputError, match="0 to 63"):
        small().decode_step(torch.full((1, 8, 1), 64), small().init_decode_state(1))


def test_rows_must_fit_the_streams():
    with pytest.raises(InputError, match="2 rows"):
        StreamEncoder(small(), batch=1).push(sounds())
