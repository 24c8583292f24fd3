"""What each fault of llama.cpp's CSM pull request does to codes and sound, one at a time, on a voice.

    python -m duologue.evaluation.llama_parity --out benchmarks/results/llama_parity.json

The embedded voice turns its positions without scaling, so leaving it out changes nothing there. For it the mistake is
made the other way round (scaling where none was trained with), and the real sizes are looked at by themselves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import api
from ..api import Model
from ..compat.deviating import ZeroPaddedEngine
from ..compat.deviations import Deviations, deviate, unscaled
from ..csm.config import CSM_1B, CsmConfig, RopeScaling
from ..engine.native_engine import NativeEngine
from ..errors import BackendUnavailable
from ..mimi.sounding import SoundCodec
from ..weights.csm_files import read_csm
from ..weights.load import locate
from .llama_parity_rope import angles, codes_changed
from .llama_parity_sound import sound_faults
from .logit_agreement import Reference, record
from .quantization_speech import Heard, Listening, compared
from .report import versions
from .sentences import held_out

SECTIONS = ("rope", "logits", "sound")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All faults, one at a time; each section is written as soon as it is known."""
    model = api.load(arguments.model, device="cpu", engine="torch")
    if not isinstance(model.codec, SoundCodec):
        raise BackendUnavailable("The faults need the codec in torch's form.", hint="pip install 'duologue[torch]'")
    sentences = held_out("heldout40")
    listening = Listening(model, sentences[: arguments.sentences], [arguments.seed], arguments.threads)
    result: dict[str, Any] = {
        "what": "faults of llama.cpp's CSM pull request, one at a time, against the same voice without them",
        **versions(),
        "model": model.name,
        "weights_blake2": hashlib.blake2b(locate(arguments.model).csm.read_bytes(), digest_size=8).hexdigest(),
        "seed": arguments.seed,
    }
    result |= _other_sections(result, arguments.out)
    for section in arguments.only or SECTIONS:
        if section == "rope":
            found = _rope(arguments, model, listening, sentences)
        elif section == "logits":
            found = _padded_logits(model, listening)
        else:
            found = sound_faults(model, model.codec, listening, arguments.seed)
        result[section] = {"sentences": arguments.sentences, **found}
        _write(result, arguments.out)
    return result


def _other_sections(result: dict[str, Any], path: Path) -> dict[str, Any]:
    """Sections of an earlier run on the same weights with the same seed."""
    if not path.is_file():
        return {}
    earlier = json.loads(path.read_text(encoding="utf-8"))
    same = all(earlier.get(name) == result[name] for name in ("weights_blake2", "seed"))
    return {name: earlier[name] for name in SECTIONS if same and name in earlier}


def _write(result: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _rope(
    arguments: argparse.Namespace, model: Model, listening: Listening, sentences: Sequence[str]
) -> dict[str, Any]:
    return {
        "csm_1b_backbone": angles(CSM_1B.backbone),
        "csm_1b_depth": angles(CSM_1B.depth),
        "random_weights_of_real_head_sizes": codes_changed(),
        "voice_scaled_by_mistake": _scaled_by_mistake(arguments, model, listening, sentences),
    }


def _scaled(config: CsmConfig) -> CsmConfig:
    scaling = RopeScaling()
    return replace(
        config,
        backbone=replace(config.backbone, rope_scaling=scaling),
        depth=replace(config.depth, rope_scaling=scaling),
    )


def _scaled_by_mistake(
    arguments: argparse.Namespace, model: Model, listening: Listening, sentences: Sequence[str]
) -> dict[str, Any]:
    """The voice with Llama 3's scaling that it was not trained with: logits, codes, speech."""
    weights = read_csm(locate(arguments.model).csm, as_arrays=True)
    right, wrong = weights.config, _scaled(weights.config)
    if right.backbone.rope_scaling is not None:  # for such a voice the pull request's own mistake
        wrong = unscaled(right)
    engines = [NativeEngine.from_weights(config, weights.tensors, "float32") for config in (right, wrong)]
    plain, mistaken = (Model(model.card, engine, model.codec, model.reader, model.voices) for engine in engines)
    agreement = Reference(engines[0], record(plain, sentences[:12])).compare(engines[1], model.usual.sampling(0))
    return {
        "left_out": right.backbone.rope_scaling is not None,
        "angles": angles(_scaled(right).backbone),
        "kl_per_frame": round(agreement.kl_nats * right.num_codebooks, 6),
        "greedy_codes_percent": round(agreement.greedy_codes_percent, 2),
        "speech": compared(listening.hear(mistaken), listening.hear(plain)),
    }


def _padded_logits(model: Model, listening: Listening) -> dict[str, Any]:
    """Draws that fall beyond the codebook, with the voice's own sampling and with the pull request's."""
    hot_card = replace(
        model.card, temperature=0.9, top_k=50, depth_temperature=None, depth_top_k=None, advance_temperature=None
    )
    hot = Model(hot_card, model.engine, model.codec, model.reader, model.voices)
    return {
        "own_sampling": _padded(model, listening, listening.hear(model)),
        "temperature_0.9_top_k_50": _padded(hot, listening, listening.hear(hot)),
    }


def _padded(model: Model, listening: Listening, plain: Heard) -> dict[str, Any]:
    deviant = deviate(model, Deviations(logits=True))
    heard = listening.hear(deviant)
    engine = deviant.engine
    assert isinstance(engine, ZeroPaddedEngine)
    draws = np.maximum(engine.draws, 1)
    return {
        "draws": int(engine.draws.sum()),
        "beyond_the_codebook_percent": round(100 * float(engine.padded_draws.sum() / draws.sum()), 3),
        "beyond_by_codebook_percent": [round(100 * float(share), 3) for share in engine.padded_draws / draws],
        "unknown_to_the_codec_percent": round(100 * float(engine.reserved_draws.sum() / draws.sum()), 3),
        "speech_without": compared(plain, plain),
        "speech": compared(heard, plain),
    }


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="python -m duologue.evaluation.llama_parity", description=__doc__.partition("\n")[0]
    )
    options.add_argument("--model", help="what duologue.load takes; default: the embedded voice")
    options.add_argument("--sentences", type=int, default=40)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", nargs="+", choices=SECTIONS, help="the others are kept from --out where they fit")
    options.add_argument("--threads", type=int, default=1, help="of the judge")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/llama_parity.json"))
    return options


def main(given: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(given)
    result = measure(arguments)
    print(json.dumps({name: result[name] for name in SECTIONS if name in result}, indent=1))
    print(arguments.out)


if __name__ == "__main__":
    main()
