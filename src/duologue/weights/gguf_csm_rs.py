"""csm.rs's GGUF of CSM: Sesame's own names and order in one file without codec, architecture "csm".

Source: cartesia-one/csm.rs, scripts/quantize.py. Its Q8_0 is ggml's. What it calls Q4_K packs nibbles and scales in
another way than ggml does; such files are refused.
"""

from __future__ import annotations

from ..errors import LayoutMismatch
from . import sesame
from .gguf_file import GgufFile
from .model_parts import CsmPart, ModelParts

ARCHITECTURE = "csm"


def read_csm_rs(file: GgufFile) -> ModelParts:
    """The speech model in such a file."""

    def csm() -> CsmPart:
        if any(tensor.type == "Q4_K" for tensor in file.tensors.values()):
            raise LayoutMismatch(
                f"{file.path.name} calls its 4-bit blocks Q4_K, but packs them another way than ggml (csm.rs's own).",
                hint="Take its q8_0 file, or make a Q4_K from the original: duologue quantize.",
            )
        shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
        return CsmPart(
            sesame.infer_config(shapes),
            sesame.without_masks({name: tensor.array() for name, tensor in file.tensors.items()}),
        )

    return ModelParts(
        layout="csm-rs",
        files=(file.path,),
        csm=csm,
        card={"name": file.path.stem, "text": "llama"},
        codec_elsewhere=True,
    )
