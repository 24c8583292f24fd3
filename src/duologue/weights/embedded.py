"""The voice inside the package: where its files are. Knows paths only.

`embedded/` holds csm.safetensors, codec.safetensors, model.json, voices/*.safetensors and MODEL_CARD.md.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import WeightsNotFound

FOLDER = Path(__file__).parent / "embedded"


def embedded_folder() -> Path:
    """The folder of the embedded voice. Raises WeightsNotFound in an installation made without it."""
    if not (FOLDER / "csm.safetensors").is_file():
        raise WeightsNotFound(
            "This installation has no embedded voice.",
            hint='Install a released wheel, or name a model: duologue.load("sesame/csm-1b").',
        )
    return FOLDER
