"""Each fault of the pull request does what it says, alone, and nothing where it is not asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import duologue
from duologue.api import Model
from duologue.compat.deviating import ZeroPaddedEngine, decode_in_pieces, with_config
from duologue.compat.deviations import PIECE_FRAMES, Deviations, decode, deviate, unscaled
from duologue.compat.llama_model import load_model
from duologue.compat.llama_prompt import parse_prompt
from duologue.compat.llama_speech import LlamaSpeech, SpokenTurn
from duologue.engine.base import FrameRequest, FrameSampling, Sampling
from duologue.engine.torch_engine import TorchEngine
from duologue.errors import InputError
from duologue.mimi.codec import Mimi
from duologue.mimi.sounding import SoundCodec
from duologue.speaking import GenerationConfig
from tests.compat.models import sesame_like
from tests.tiny import BOOKS, ENTRIES, tiny_codec_config, tiny_csm_config


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return sesame_like(tmp_path_factory.mktemp("sesame") / "model")


@pytest.fixture(scope="module")
def codec() -> SoundCodec:
    torch.manual_seed(1)
    mimi = Mimi(tiny_codec_config())
    with torch.no_grad():
        for parameter in mimi.decoder_transformer.parameters():
            parameter.mul_(20.0)  # so that what a step sees is heard
    return SoundCodec(mimi)


def greedy(model: Model) -> np.ndarray:
    speech = LlamaSpeech(model, {}, 1, GenerationConfig(temperature=0.0, top_k=0), 40)
    parts = list(speech.speak(parse_prompt("[0]Did you sleep well?[1]Like a stone.")))
    return np.concatenate([part.codes for part in parts if isinstance(part, SpokenTurn)], axis=1)


def test_names() -> None:
    assert Deviations.named(None) == Deviations.named("") == Deviations()
    assert Deviations.named("rope, mask") == Deviations(rope=True, mask=True)
    assert Deviations.named("all") == Deviations(True, True, True, True)
    with pytest.raises(InputError, match="fault 'speed'"):
        Deviations.named("speed")


def test_without_faults_the_model_is_the_same_object(model: Model) -> None:
    assert deviate(model, Deviations(mask=True, pieces=True)) is model


def test_unscaled_positions_change_what_is_said(model: Model) -> None:
    assert not np.array_equal(greedy(model), greedy(deviate(model, Deviations(rope=True))))


def test_unscaled_positions_change_nothing_where_none_were_scaled(model: Model) -> None:
    assert isinstance(model.engine, TorchEngine)
    plain = Model(
        model.card, TorchEngine(with_config(model.engine.model, unscaled(model.config))), model.codec, model.reader
    )
    assert np.array_equal(greedy(plain), greedy(deviate(plain, Deviations(rope=True))))


def test_the_cpu_engine_says_that_it_has_no_faults(tiny_folder: Path) -> None:
    native = duologue.load(tiny_folder, device="cpu", engine="native")
    with pytest.raises(InputError, match="no faults"):
        deviate(native, Deviations(logits=True))
    assert load_model(str(tiny_folder), deviations=Deviations(logits=True)).model.engine.name.startswith("torch")


def padded(aligned: bool = False) -> ZeroPaddedEngine:
    from duologue.csm.model import Csm

    torch.manual_seed(0)
    return ZeroPaddedEngine(Csm(tiny_csm_config(aligned=aligned)))


def draw(engine: TorchEngine, logits: list[float], top_k: int, book: int = 1, **request: object) -> int:
    row = np.zeros(engine.config.columns, np.int64)
    asked = FrameRequest(engine.new_cache(), row, 0, 3, FrameSampling(9, *[Sampling(1.0, top_k)] * 2), **request)  # type: ignore[arg-type]
    filled = torch.full((1, engine.config.codebook_size), -50.0)
    filled[0, : len(logits)] = torch.tensor(logits)
    return int(engine._draw([asked], book, filled)[0])


def test_ids_beyond_the_codebook_are_drawn_only_when_few_logits_are_positive() -> None:
    engine = padded()
    assert draw(engine, [-50.0, 9.0, 8.0], top_k=2) in (1, 2)
    assert engine.padded_draws.sum() == 0
    draw(engine, [-50.0] * 3, top_k=5)  # the zeros behind the codebook are the largest now
    assert engine.padded_draws.tolist() == [0, 1] + [0] * (BOOKS - 2)
    assert engine.draws.sum() == 2


def test_codes_that_the_codec_lacks_are_not_barred_but_counted() -> None:
    engine = padded()
    high = [-50.0] * ENTRIES + [30.0]
    assert draw(engine, high, top_k=1) == 0
    assert engine.reserved_draws.sum() == 1 and engine.padded_draws.sum() == 0
    assert draw(TorchEngine(engine.model), [1.0, *high[1:]], top_k=1) == 0  # barred: the best of the others


def test_the_end_of_a_turn_is_still_drawn_where_it_is_a_code_of_its_own() -> None:
    engine = padded(aligned=True)
    ending = [-50.0] * engine.config.eos_code + [30.0]
    assert draw(engine, ending, 1, book=0, allow_eos=True) == engine.config.eos_code
    assert draw(engine, [20.0, *ending[1:]], 1, book=0, allow_eos=False) == 0


def codes_of(codec: SoundCodec, frames: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, ENTRIES, (codec.num_codebooks, frames))


def test_one_masked_piece_is_what_the_codec_gives(codec: SoundCodec) -> None:
    codes = codes_of(codec, PIECE_FRAMES)
    assert np.allclose(decode_in_pieces(codec, codes, mask=False), codec.decode(codes), atol=1e-5)


def test_pieces_differ_from_the_whole_behind_the_seam_only(codec: SoundCodec) -> None:
    codes = codes_of(codec, PIECE_FRAMES + 5)
    whole, cut = codec.decode(codes), decode_in_pieces(codec, codes, mask=False)
    seam = PIECE_FRAMES * codec.frame_samples
    assert len(whole) == len(cut)
    assert np.allclose(whole[:seam], cut[:seam], atol=1e-5)
    assert np.abs(whole[seam:] - cut[seam:]).max() > 1e-3


def test_without_the_mask_the_future_changes_the_past(codec: SoundCodec) -> None:
    codes = codes_of(codec, 12)
    other = codes.copy()
    other[:, -1] = (other[:, -1] + 7) % ENTRIES
    first = 8 * codec.frame_samples
    masked = [decode(codec, each, Deviations(pieces=True))[:first] for each in (codes, other)]
    unmasked = [decode(codec, each, Deviations(mask=True))[:first] for each in (codes, other)]
    assert np.array_equal(*masked)
    assert np.abs(unmasked[0] - unmasked[1]).max() > 1e-4


def test_a_piece_sounds_the_same_wherever_it_stands(codec: SoundCodec) -> None:
    """Only the position crosses the border, and rotary positions are relative."""
    codes = codes_of(codec, 2 * PIECE_FRAMES)
    second = decode_in_pieces(codec, codes, mask=True)[PIECE_FRAMES * codec.frame_samples :]
    alone = decode_in_pieces(codec, codes[:, PIECE_FRAMES:], mask=True)
    assert np.allclose(second, alone, atol=1e-3)
