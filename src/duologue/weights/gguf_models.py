"""Whose GGUF file is it? Each maker's files say their architecture; here it leads to the one that reads them.

What no public source tells the layout of is refused by name, not guessed at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import LayoutMismatch
from . import gguf_codec_cpp, gguf_crispasr, gguf_csm_rs, gguf_llama_csm, gguf_llama_mimi, gguf_own
from .gguf_file import GgufFile, open_gguf
from .model_parts import ModelParts

READERS: dict[str, Callable[[GgufFile], ModelParts]] = {
    gguf_own.ARCHITECTURE: gguf_own.read_own,
    gguf_llama_csm.ARCHITECTURE: gguf_llama_csm.read_llama_csm,
    gguf_llama_mimi.ARCHITECTURE: gguf_llama_mimi.read_llama_mimi,
    gguf_crispasr.ARCHITECTURE: gguf_crispasr.read_crispasr,
    gguf_csm_rs.ARCHITECTURE: gguf_csm_rs.read_csm_rs,
    gguf_codec_cpp.ARCHITECTURE: gguf_codec_cpp.read_codec_cpp,
    gguf_codec_cpp.HOST_ARCHITECTURE: gguf_codec_cpp.read_host,
}


def open_model(path: Path) -> ModelParts:
    """The parts of a model in a GGUF file and those that belong to it. Raises WeightsNotFound, WeightsDamaged, or
    LayoutMismatch for a maker unknown here."""
    file = open_gguf(path)
    if file.architecture not in READERS:
        known = "duologue's own, llama.cpp's pull request 12648, CrispASR, csm.rs and codec.cpp"
        raise LayoutMismatch(
            f"{path.name} is a GGUF file of the architecture {file.architecture!r}: no CSM or Mimi known here.",
            hint=f"Read are: {known}.",
        )
    return READERS[file.architecture](file)
