"""A better decoder for the same codes: the state of a refinement and the step that moves it. Knows no command line.

The encoder and the codebooks stay as they are, so a language model trained on their codes stays valid. The decoder
side, which `decoder_blocks` may deepen, goes on with the spectral losses, with what a listener hears (a reader of
phones that learns beside it, or Whisper's encoder) if that has a weight, and, after `judge_from` steps, plays against
discriminators on cuts. Processes share a step: all draw the same crops, each works on its part, gradients are averaged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor, nn

from ..configuration import to_dict
from ..errors import InputError
from ..mimi.codec import Mimi
from .checkpoints import AveragedWeights, collect, latest_checkpoint, load_checkpoint, restore, save_checkpoint
from .codec_data import CropCorpus, Crops
from .codec_export import fingerprint, save_codec
from .codec_model import LearningCodec, LossWeights, weigh
from .codec_predicted import PredictedCrops
from .codec_start import grown
from .discriminators import Discriminators, feature_distance, fooling_loss, judge_loss
from .discriminators_bands import BandDiscriminators
from .listener import Listener, hearing_distance, reading_loss, reading_right
from .parallel import Group
from .precision import Precision, autocast
from .whisper_listener import WhisperListener, difference_heard


@dataclass(frozen=True)
class DecoderRefinement:
    """Everything a refinement depends on; stored beside it."""

    shards: str
    prepared: str
    loss: LossWeights = field(default_factory=LossWeights)
    seed: int = 1
    steps: int = 4_000
    crops: int = 6  # per process and step
    crop_seconds: float = 1.28
    rate: float = 3e-4
    final_rate: float = 2e-5
    warmup_steps: int = 50
    decay_steps: int = 1_000
    average: float = 0.998
    clip: float = 1.0
    judge_from: int = 100  # steps before the maker listens to the judges, who learn from the start
    judge_rate: float = 2e-4
    judges: Literal["spectrogram", "bands"] = "spectrogram"  # bands: a fraction of the cost, for long cuts
    judge_channels: int = 32
    judge_seconds: float = 0.48  # cut that they see
    fool_weight: float = 0.06
    feature_weight: float = 0.15
    hearing_weight: float = 0.0  # of the difference to a listener
    listener: Literal["phones", "whisper"] = "phones"  # which: learns here from the teacher's durations, or tiny.en
    listener_rate: float = 1e-3
    predicted: str = ""  # folder of codes that a speech model drew for these shards (predicted_codes.py)
    predicted_share: float = 0.5  # of the crops are sounded from them instead of the recording's own, if there are any
    decoder_blocks: int | None = None  # more than the codec has: the further ones start silent
    checkpoint_every: int = 200
    log_every: int = 20
    precision: Precision = "auto"  # of the matrix products


class Refinement:
    """The state of a refinement and the step that moves it."""

    def __init__(self, config: DecoderRefinement, codec: Mimi, folder: Path, group: Group) -> None:
        self.config, self.folder, self.group = config, folder, group
        torch.manual_seed(config.seed)
        self.fingerprint = fingerprint(codec)
        codec = deepened(codec, config.decoder_blocks)
        self.model = _learning(codec)
        kind = BandDiscriminators if config.judges == "bands" else Discriminators
        self.judges = kind(config.judge_channels)
        self.listener = Listener() if config.hearing_weight and config.listener == "phones" else None
        self.whisper = WhisperListener() if config.hearing_weight and config.listener == "whisper" else None
        self.averaged = _learning(codec)
        self.average = AveragedWeights(self.averaged, config.average)
        self.parts = decoder_side(self.model.codec)
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        self.maker = torch.optim.AdamW(
            self.parameters(), lr=config.rate, betas=(0.8, 0.99), weight_decay=1e-3, fused=True
        )
        self.judge = torch.optim.AdamW(self.judges.parameters(), lr=config.judge_rate, betas=(0.8, 0.99), fused=True)
        self.reader: torch.optim.Optimizer | None = None
        if self.listener is not None:
            heard = self.listener.parameters()
            self.reader = torch.optim.AdamW(heard, lr=config.listener_rate, weight_decay=0.02, fused=True)
        shards, prepared = Path(config.shards).expanduser(), Path(config.prepared).expanduser()
        self.corpus = CropCorpus(shards, prepared, int(config.crop_seconds * 24_000))
        self.predicted: PredictedCrops | None = None
        if config.predicted:
            self.predicted = PredictedCrops(self.corpus, Path(config.predicted).expanduser())
        self.step = 0

    def parameters(self) -> list[nn.Parameter]:
        """What is refined."""
        return [parameter for part in self.parts for parameter in part.parameters()]

    def resume(self) -> None:
        """Take up the newest checkpoint, if there is one. Raises InputError if it belongs to another codec."""
        path = latest_checkpoint(self.folder / "checkpoints")
        if path is None:
            self.grow()
            return
        tensors, facts = load_checkpoint(path)
        if facts["fingerprint"] != self.fingerprint:
            raise InputError(f"{path} refines another codec.", hint="Give a new --run folder.", field="codec")
        restore(tensors, self._modules(), self._optimizers())
        self.step = facts["step"]
        self.corpus.use(facts["shards"])
        if self.predicted is not None:
            self.predicted.use(facts.get("predicted") or self.predicted.available())

    def save(self) -> None:
        """Write a checkpoint and the averaged codec."""
        facts = {"fingerprint": self.fingerprint, "shards": self.corpus.names, "config": to_dict(self.config)}
        facts["predicted"] = self.predicted.names if self.predicted is not None else []
        save_checkpoint(self.folder / "checkpoints", self.step, collect(self._modules(), self._optimizers()), facts)
        mark = save_codec(self.averaged.codec, self.folder / "codec.safetensors", half=True)
        assert mark == self.fingerprint, "the refinement touched what makes codes"

    def grow(self) -> None:
        """Take in the shards that exist now; all processes use the leader's list."""
        self.corpus.use(self._agreed(self.corpus.available()))
        if self.predicted is not None:
            self.predicted.use(self._agreed(self.predicted.available()))

    def _agreed(self, names: list[str]) -> list[str]:
        shared = [names]
        if self.group.size > 1:
            distributed.broadcast_object_list(shared, 0)
        return shared[0]

    def _modules(self) -> dict[str, nn.Module]:
        mine: dict[str, nn.Module] = {"model": self.model, "average": self.averaged, "judges": self.judges}
        return mine if self.listener is None else mine | {"listener": self.listener}

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        mine: dict[str, torch.optim.Optimizer] = {"maker": self.maker, "judge": self.judge}
        return mine if self.reader is None else mine | {"reader": self.reader}

    def advance(self) -> dict[str, float]:
        """One step of the maker and, on the same sound, one of the judges."""
        chance = np.random.default_rng([self.config.seed, self.step])
        torch.manual_seed(int(chance.integers(2**62)))
        crops, drawn = self._draw(chance)
        with autocast(self.config.precision):
            made, terms = self._sound(crops, drawn)
            figures = terms | self.model.distances(made, crops.wav)
            total = weigh(figures, self.config.loss)
        real, cut = self._cut(crops.wav[:, 0], made[:, 0], chance)
        if self.config.fool_weight or self.config.feature_weight:
            game, more = self._play(real, cut)
            total, figures = total + game, figures | more
        if self.config.hearing_weight:
            heard, more = self._hear(crops, made[:, 0])
            total, figures = total + self._listening() * self.config.hearing_weight * heard, figures | more
        self._move(self.maker, self.parameters(), total, self._rate())
        self.step += 1
        self.average.update(self.model, self.step)
        values = self.group.sum(torch.stack([term.detach().float() for term in figures.values()])) / self.group.size
        return dict(zip(figures, values.tolist(), strict=True))

    def _draw(self, chance: np.random.Generator) -> tuple[Crops, Tensor | None]:
        """This process's crops; the last of them, as many as codes (B, K, T) are returned, have predicted codes."""
        rank, size, mine = self.group.rank, self.group.size, self.config.crops
        predicted = 0 if self.predicted is None else round(mine * self.config.predicted_share)
        own = mine - predicted
        crops = self.corpus.draw(own * size, chance).part(rank, own) if own else None
        if self.predicted is None or not predicted:
            assert crops is not None
            return crops, None
        more, codes = self.predicted.draw(predicted * size, chance)
        more, codes = more.part(rank, predicted), codes[rank * predicted : (rank + 1) * predicted]
        return (crops.with_more(more) if crops is not None else more), codes

    def _sound(self, crops: Crops, drawn: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        quantizer = self.model.codec.quantizer
        own = len(crops.wav) - (0 if drawn is None else len(drawn))
        codes = [] if drawn is None else [drawn]
        if own:
            with torch.no_grad():
                codes.insert(0, quantizer.encode(self.model.codec.latents(crops.wav[:own]).float()))
        return self.model.sound(quantizer.decode(torch.cat(codes)), crops)

    def _cut(self, real: Tensor, made: Tensor, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The same random cut of both; never from the first 80 ms, where the decoder starts from silence."""
        count = int(self.config.judge_seconds * 24_000)
        start = int(chance.integers(1920, real.shape[1] - count + 1))
        return real[:, start : start + count], made[:, start : start + count]

    def _play(self, real: Tensor, made: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Let the judges learn, then let them judge: the maker's share of the loss."""
        with autocast(self.config.precision):
            loss = judge_loss(self.judges(real), self.judges(made.detach()))
            self._move(self.judge, list(self.judges.parameters()), loss, self.config.judge_rate)
            with torch.no_grad():
                theirs = self.judges(real)
            self.judges.requires_grad_(False)
            ours = self.judges(made)
            self.judges.requires_grad_(True)
            fool, features = fooling_loss(ours), feature_distance(theirs, ours)
        listening = self._listening()
        share = self.config.fool_weight * fool + self.config.feature_weight * features
        return listening * share, {"judge": loss, "fool": fool, "features": features}

    def _hear(self, crops: Crops, made: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """How differently the listener hears the made."""
        with autocast(self.config.precision):
            if self.whisper is not None:
                distance = difference_heard(self.whisper, crops.wav[:, 0], made)
                return distance, {"hearing": distance}
            assert self.listener is not None and self.reader is not None
            return self._listen(self.listener, self.reader, crops, made)

    def _listen(
        self, listener: Listener, reader: torch.optim.Optimizer, crops: Crops, made: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Let the reader of phones learn from real speech, then compare what it hears in the made."""
        scores, theirs = listener(crops.wav[:, 0])
        loss = reading_loss(scores, crops.phones)
        self._move(reader, list(listener.parameters()), loss, self.config.listener_rate)
        listener.requires_grad_(False)
        read, ours = listener(made)
        listener.requires_grad_(True)
        distance = hearing_distance(theirs, ours)
        right, still = reading_right(scores, crops.phones), reading_right(read, crops.phones)
        return distance, {"reading": loss, "hearing": distance, "read_real": right, "read_made": still}

    def _listening(self) -> float:
        """How much judges and listener count, 0 to 1: a step up would throw the maker off."""
        return min(1.0, max(0, self.step - self.config.judge_from) / 200)

    def _move(
        self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], loss: Tensor, rate: float
    ) -> None:
        optimizer.zero_grad()
        (loss / self.group.size).backward()
        self.group.sum_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.clip)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if torch.isfinite(norm):
            optimizer.step()

    def _rate(self) -> float:
        config = self.config
        falling = max(0.0, self.step - (config.steps - config.decay_steps)) / config.decay_steps
        shape = 0.5 * (1 + math.cos(math.pi * min(1.0, falling)))
        return min(1.0, (self.step + 1) / config.warmup_steps) * (
            config.final_rate + (config.rate - config.final_rate) * shape
        )


def _learning(codec: Mimi) -> LearningCodec:
    model = LearningCodec(codec.config)
    model.codec.load_state_dict(codec.state_dict())
    return model


def deepened(codec: Mimi, decoder_blocks: int | None) -> Mimi:
    """The same codec with so many blocks in its spectral decoder. Raises InputError for another front end."""
    if decoder_blocks is None:
        return codec
    if codec.config.spectral is None:
        raise InputError("Only a spectral decoder has blocks to add.", field="decoder_blocks")
    spectral = replace(codec.config.spectral, decoder_blocks=decoder_blocks)
    return grown(codec, replace(codec.config, spectral=spectral))


def decoder_side(codec: Mimi) -> list[nn.Module]:
    """The parts that sound codes and have no part in making them."""
    quantizer = codec.quantizer
    projections = [quantizer.semantic.project_out, quantizer.acoustic.project_out]
    return [*projections, codec.upsample, codec.decoder_transformer, codec.decoder]
