"""What one file may hold of a model, whoever made it: the speech model, the codec, how text is read, voices.

Every dialect of GGUF ends in these parts, under the house's names; knows no dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..csm.config import CsmConfig
from ..errors import LayoutMismatch
from ..mimi.config import MimiConfig
from .layout import check_names, check_shapes
from .sesame import csm_shapes

if TYPE_CHECKING:
    from .gguf_packed import PackedPart


@dataclass(frozen=True)
class StoredVoice:
    """A voice as a file holds it: its card, and the arrays audio, codes and pointers."""

    card: Mapping[str, Any]
    arrays: Mapping[str, Any]


@dataclass(frozen=True)
class CsmPart:
    """A speech model: its sizes, and its arrays under the house's names."""

    config: CsmConfig
    arrays: dict[str, Any]


@dataclass(frozen=True)
class CodecPart:
    """A codec: its sizes, and its arrays under the names of mimi/codec.py."""

    config: MimiConfig
    arrays: dict[str, Any]


@dataclass(frozen=True)
class ModelParts:
    """A model in one or several GGUF files. The parts are functions: what isn't asked for isn't looked at."""

    layout: str
    files: tuple[Path, ...]
    csm: Callable[[], CsmPart] | None = None
    packed: Callable[[], PackedPart] | None = None  # in place of csm: the CPU engine's own form
    codec: Callable[[], CodecPart] | None = None
    tokenizer: Callable[[], bytes | None] = lambda: None  # a tokenizer.json
    card: Mapping[str, Any] = field(default_factory=dict)  # what model.json would say
    voices: tuple[StoredVoice, ...] = ()
    description: str = ""
    codec_elsewhere: bool = False  # the csm belongs to a codec in a file of its own

    @property
    def holds_speech_model(self) -> bool:
        """Whether there is a speech model, in whichever form."""
        return self.csm is not None or self.packed is not None

    def speech_config(self) -> CsmConfig:
        """The speech model's sizes."""
        return self.speech_model().config if self.packed is None else self.packed().config

    def speech_model(self) -> CsmPart:
        """The speech model, strictly checked. Raises LayoutMismatch if there is none, or its sizes are others."""
        where = self.files[0].name
        if self.packed is not None:
            raise LayoutMismatch(
                f"{where} holds its weights as the CPU engine reads them ({self.packed().name}), not by name.",
                hint=f"It speaks as it is; `duologue convert {where} -o OTHER.gguf` writes them by name.",
            )
        if self.csm is None:
            raise LayoutMismatch(
                f"{where} ({self.layout}) holds no speech model.",
                hint=f"`duologue inspect {where}` shows what it holds.",
            )
        part = self.csm()
        wanted = csm_shapes(part.config)
        check_names(part.arrays, wanted, where)
        check_shapes({name: tuple(array.shape) for name, array in part.arrays.items()}, wanted, where)
        return part

    def sound_codec(self) -> CodecPart:
        """The codec. Raises LayoutMismatch if there is none."""
        if self.codec is None:
            raise LayoutMismatch(
                f"{self.files[0].name} ({self.layout}) holds no codec.", hint="Put a Mimi checkpoint beside it."
            )
        return self.codec()
