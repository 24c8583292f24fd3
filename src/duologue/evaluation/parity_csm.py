"""Hold our CSM against transformers' with the same random weights: logits, and codes spoken greedily.

    python -m duologue.evaluation.parity_csm --size small
    python -m duologue.evaluation.parity_csm --size real --out benchmarks/results/parity_csm.json --together

The real size has 1.55 billion parameters and needs about 8 GB of memory; both sides share most tensors. Three prompts:
one turn; several turns of text alone; turns with audio context by two speakers, encoded by transformers' own Mimi.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..csm.config import CSM_1B, CsmConfig, RopeScaling, StackConfig
from ..csm.frames import Grid, Segment, lay_out
from ..csm.model import Csm
from ..engine.base import FrameSampling, Sampling
from ..engine.generator import Limits, begin, step
from ..engine.torch_engine import TorchEngine
from ..timebase import RATE_HZ
from ..weights.csm_files import CsmWeights, build_csm
from ..weights.transformers_csm import from_file, split_codec
from ..weights.transformers_csm_config import write_config

# Random weights may pick any code, so both sides choose among all of them here.
SIZES = {
    "small": CsmConfig(
        backbone=StackConfig(3, 64, 4, 2, 16, 96, 256, rope_scaling=RopeScaling(original_positions=512)),
        depth=StackConfig(2, 48, 4, 2, 12, 64, 9, rope_scaling=RopeScaling(original_positions=512)),
        num_codebooks=8,
        codebook_size=67,
        text_vocab=96,
        codec_entries=67,
    ),
    "real": replace(CSM_1B, codec_entries=CSM_1B.codebook_size),
}
SMALL_CODEC = {
    "hidden_size": 32, "num_filters": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
    "head_dim": 16, "intermediate_size": 32, "codebook_size": 64, "codebook_dim": 16, "num_quantizers": 8,
    "vector_quantization_hidden_dimension": 16, "upsample_groups": 32,
}  # fmt: skip
GREEDY = FrameSampling(first=Sampling(0.0), depth=Sampling(0.0), advance=Sampling(0.0))


@dataclass(frozen=True)
class Turn:
    """One turn of a test prompt: text ids, and sound (samples,) if it is context that was heard."""

    text: np.ndarray
    wav: np.ndarray | None = None


@dataclass
class Comparison:
    """One prompt: largest differences of logits, and whether greedy speech has the same codes."""

    prompt: str
    rows: int
    frames: int
    distinct_frames: int  # how varied the speech is: two sides that only repeat themselves agree too easily
    backbone_logits: float
    depth_logits: float
    differing_codes: int
    seconds: dict[str, float] = field(default_factory=dict)  # of the speech; of the whole batch if spoken together


def build_reference(config: CsmConfig, codec: dict[str, Any], seed: int = 0) -> Any:
    """transformers' model with random weights, norms included, so that no tensor may be swapped unseen."""
    from transformers import CsmConfig as TheirConfig
    from transformers import CsmForConditionalGeneration

    torch.manual_seed(seed)
    values = write_config(config, codec)
    values["initializer_range"] = config.backbone.width**-0.5  # large enough for attention to matter at small widths
    values["depth_decoder_config"]["initializer_range"] = config.depth.width**-0.5
    model = CsmForConditionalGeneration(TheirConfig.from_dict(values)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and not name.startswith("codec_model"):
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
    return model


def build_ours(reference: Any, config: CsmConfig) -> Csm:
    """Our module on the reference's tensors."""
    tensors, _ = split_codec(reference.state_dict())
    return build_csm(CsmWeights(config, from_file(tensors, config, "the reference")))


def prompts(config: CsmConfig, seed: int = 1) -> dict[str, list[Turn]]:
    """The three kinds of prompt, with random text and random sound."""
    random = np.random.default_rng(seed)
    highest = min(config.text_vocab - 2, 128_000)

    def turn(units: int, seconds: float = 0.0) -> Turn:
        wav = random.standard_normal(int(seconds * RATE_HZ)).astype(np.float32) * 0.1 if seconds else None
        return Turn(random.integers(0, highest, units), wav)

    return {
        "single turn": [turn(12)],
        "text turns": [turn(9), turn(5), turn(14)],
        "two speakers' audio": [turn(7, 1.04), turn(11, 0.7), turn(6, 0.5), turn(10)],
    }


def compare(
    reference: Any, ours: Csm, asked: Mapping[str, Sequence[Turn]], frames: int, together: bool = False
) -> list[Comparison]:
    """Run prompts through both, one by one or each side's prompts together in one batch.

    Logits are compared on every row of the prompts (backbone) and on all that was spoken (depth decoder).
    """
    if not together and len(asked) > 1:
        return [compare(reference, ours, {name: turns}, frames)[0] for name, turns in asked.items()]
    read = [_their_inputs(reference, turns) for turns in asked.values()]
    inputs, segments = [theirs for theirs, _ in read], [mine for _, mine in read]
    started = time.perf_counter()
    wanted = _their_speech(reference, inputs, frames)
    between = time.perf_counter()
    spoken = _our_speech(TorchEngine(ours), segments, frames)
    seconds = {"transformers": round(between - started, 3), "duologue": round(time.perf_counter() - between, 3)}
    found = []
    for name, theirs, mine, heard, prompt in zip(asked, wanted, spoken, inputs, segments, strict=True):
        grid = lay_out(ours.config, prompt)
        length = min(theirs.shape[1], mine.shape[1])
        differing = int((theirs[:, :length] != mine[:, :length]).sum()) + abs(theirs.shape[1] - mine.shape[1])
        distinct = len(np.unique(theirs, axis=1).T)
        logits = _logit_differences(reference, ours, grid, heard, theirs)
        found.append(Comparison(name, len(grid.rows), length, distinct, *logits, differing, seconds))
    return found


def _their_inputs(reference: Any, turns: Sequence[Turn]) -> tuple[dict[str, torch.Tensor], list[Segment]]:
    """The prompt as transformers takes it, and as our segments with the codes of its own codec."""
    config = reference.config
    ids: list[int] = []
    segments = []
    for turn in turns:
        ids += turn.text.tolist()
        codes = None
        if turn.wav is not None:
            with torch.inference_mode():
                codes = reference.codec_model.encode(torch.from_numpy(turn.wav)[None, None]).audio_codes[0].numpy()
            ids += [config.audio_token_id] * codes.shape[1] + [config.audio_eos_token_id]
        segments.append(Segment(turn.text, codes))
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
    wavs = [turn.wav for turn in turns if turn.wav is not None]
    if wavs:
        inputs["input_values"] = torch.from_numpy(np.concatenate(wavs))[None, None]
        inputs["input_values_cutoffs"] = torch.tensor([np.cumsum([len(wav) for wav in wavs]).tolist()])
    return inputs, segments


def _their_speech(reference: Any, prompts: Sequence[dict[str, torch.Tensor]], frames: int) -> list[np.ndarray]:
    """Codes (K,T) of each prompt, spoken greedily in one batch, which transformers wants padded on the left."""
    longest = max(prompt["input_ids"].shape[1] for prompt in prompts)
    batch = {}
    for key in ("input_ids", "attention_mask"):
        batch[key] = torch.cat([F.pad(prompt[key], (longest - prompt[key].shape[1], 0)) for prompt in prompts])
    cuts = [prompt.get("input_values_cutoffs", torch.full((1, 1), -1)) for prompt in prompts]
    wavs = [prompt.get("input_values", torch.zeros(1, 1, 1)) for prompt in prompts]
    if any("input_values" in prompt for prompt in prompts):
        most, samples = max(cut.shape[1] for cut in cuts), max(wav.shape[2] for wav in wavs)
        batch["input_values_cutoffs"] = torch.cat([F.pad(cut, (0, most - cut.shape[1]), value=-1) for cut in cuts])
        batch["input_values"] = torch.cat([F.pad(wav, (0, samples - wav.shape[2])) for wav in wavs])
    with torch.inference_mode():
        codes = reference.generate(**batch, max_new_tokens=frames, do_sample=False, depth_decoder_do_sample=False)
    return [row.T.numpy() for row in codes]


def _our_speech(engine: TorchEngine, prompts: Sequence[Sequence[Segment]], frames: int) -> list[np.ndarray]:
    """Codes (K,T) of each prompt, spoken greedily in one batch."""
    utterances = [
        begin(engine, engine.new_cache(), lay_out(engine.config, turns), turns[-1].text, GREEDY, Limits(frames))
        for turns in prompts
    ]
    while live := [utterance for utterance in utterances if utterance.ending is None]:
        step(engine, live)
    return [np.stack(utterance.codes, axis=1) for utterance in utterances]


@torch.inference_mode()
def _logit_differences(
    reference: Any, ours: Csm, grid: Grid, inputs: dict[str, torch.Tensor], spoken: np.ndarray
) -> tuple[float, float]:
    """Largest absolute differences over the prompt (backbone) and over the spoken frames (depth decoder)."""
    rows, positions = torch.from_numpy(grid.rows)[None], torch.from_numpy(grid.positions)[None]
    hidden = ours.hidden_states(rows, positions)
    wanted = reference(**inputs).logits
    backbone = float((ours.first_stage(hidden).first_logits - wanted).abs().max())
    codes = torch.from_numpy(np.ascontiguousarray(spoken.T))  # (T,K)
    states = hidden[0, -1].expand(len(codes), -1)  # one state serves: only both sides' agreement matters
    read = torch.cat([torch.zeros(len(codes), 1, dtype=torch.int64), codes[:, :-1]], dim=1)
    theirs = reference.depth_decoder(input_ids=read, backbone_last_hidden_state=states).logits
    return backbone, float((ours.depth_stage(states, codes) - theirs).abs().max())


def run(size: str, frames: int, together: bool) -> dict[str, Any]:
    """All comparisons at a size, with what they ran on."""
    import transformers

    config = SIZES[size]
    codec = SMALL_CODEC if size == "small" else {"num_quantizers": config.num_codebooks}
    reference = build_reference(config, codec)
    ours = build_ours(reference, config)
    return {
        "what": f"duologue CSM against transformers CsmForConditionalGeneration, {size} size, same random weights",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": sum(parameter.numel() for parameter in ours.parameters()),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, float32",
        "together": together,
        "comparisons": [asdict(found) for found in compare(reference, ours, prompts(config), frames, together)],
    }


def main() -> int:
    """Run, print, and record; exit status 1 if anything differs."""
    parser = argparse.ArgumentParser(description="Compare our CSM with transformers'.")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--together", action="store_true", help="speak all prompts in one batch, which is quicker")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = run(options.size, options.frames, options.together)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")
    good = all(
        c["differing_codes"] == 0 and max(c["backbone_logits"], c["depth_logits"]) < 1e-4 for c in result["comparisons"]
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
