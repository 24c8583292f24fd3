"""Four faults of llama.cpp's CSM pull request (#12648), each reproducible by name. All are off unless asked for.

rope    both stacks turn positions without Llama 3's scaling, which Sesame's model was trained with
logits  every row of logits is padded with zeros up to all codebooks' size before it is sampled, and the codes that
        the codec doesn't know are not barred: with few positive logits, ids beyond the codebook are drawn
pieces  sound is decoded 125 frames (10 s) at a time, and nothing but the position crosses from piece to piece
mask    in addition each step of such a piece sees all others of it, later ones too

They need the torch engine and codec: the CPU engine's kernels are not taught faults.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from ..csm.config import CsmConfig
from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..api import Model
    from ..engine.assembly import AnyCodec

PIECE_FRAMES = 125


@dataclass(frozen=True)
class Deviations:
    """Which of the faults to reproduce."""

    rope: bool = False
    logits: bool = False
    pieces: bool = False
    mask: bool = False

    @classmethod
    def named(cls, names: str | None) -> Deviations:
        """From a list such as "rope,mask", or "all"; None and "" are none. Raises InputError."""
        known = [field.name for field in fields(cls)]
        chosen = known if names == "all" else [name.strip() for name in (names or "").split(",") if name.strip()]
        for name in chosen:
            if name not in known:
                raise InputError(f"There is no fault {name!r}.", hint=f"Use {', '.join(known)} or all.", field="parity")
        return cls(**{name: name in chosen for name in known})

    @property
    def in_networks(self) -> bool:
        """Whether codes come out otherwise."""
        return self.rope or self.logits

    @property
    def in_sound(self) -> bool:
        """Whether the same codes sound otherwise."""
        return self.pieces or self.mask

    @property
    def any(self) -> bool:
        return self.in_networks or self.in_sound


def unscaled(config: CsmConfig) -> CsmConfig:
    """The same model with plain rotary positions in both stacks."""
    return replace(
        config,
        backbone=replace(config.backbone, rope_scaling=None),
        depth=replace(config.depth, rope_scaling=None),
    )


def deviate(model: Model, deviations: Deviations) -> Model:
    """The same weights with faults in the networks around them. Raises InputError for another engine than torch's."""
    if not deviations.in_networks:
        return model
    from ..api import Model
    from ..engine.torch_engine import TorchEngine
    from .deviating import ZeroPaddedEngine, with_config

    engine = model.engine
    if not isinstance(engine, TorchEngine):
        raise InputError(f"{engine.name} has no faults to switch on.", hint='Load with engine="torch".', field="engine")
    csm = with_config(engine.model, unscaled(engine.config)) if deviations.rope else engine.model
    made = (ZeroPaddedEngine if deviations.logits else TorchEngine)(
        csm, str(engine.device), csm.projection.weight.dtype
    )
    return Model(model.card, made, model.codec, model.reader, model.voices)


def decode(codec: AnyCodec, codes: npt.NDArray[np.int64], deviations: Deviations) -> npt.NDArray[np.float32]:
    """Codes (K,T) of a whole clip as samples, with the faults of the codec. Raises InputError without torch's form."""
    if not deviations.in_sound:
        return codec.decode(codes)
    from ..mimi.sounding import SoundCodec
    from .deviating import decode_in_pieces

    if not isinstance(codec, SoundCodec):
        raise InputError("This codec has no faults to switch on.", hint="Install torch.", field="parity")
    return decode_in_pieces(codec, codes, mask=deviations.mask)
