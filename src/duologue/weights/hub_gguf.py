"""GGUF files of a hub repository: which there are, which one is meant, which others belong to it. Opens none."""

from __future__ import annotations

from pathlib import Path

from ..errors import WeightsNotFound

MIMI_WORDS = ("mimi", "codec")  # in the name of a file with the codec alone


def chosen_files(repository: str, names: list[str], word: str) -> list[str]:
    """The GGUF files to fetch, the leading one first: the one there is, the one with `word` in its name, or a backbone
    with its decoder; and the codec that lies beside it. Raises WeightsNotFound listing what there is."""
    found = sorted(name for name in names if name.endswith(".gguf") and "/" not in name)
    codecs = [name for name in found if any(sign in name.lower() for sign in MIMI_WORDS)]
    models = [name for name in found if name not in codecs and "decoder" not in name]
    meant = [name for name in models if word.lower() in name.lower()]
    if len(meant) != 1:
        listed = ", ".join(models) or "no model in a GGUF file"
        what = f"{len(meant)} files with {word!r} in their names" if word else f"{len(models)} models"
        hint = (
            f"There is: {listed}. Name one: {repository}:{Path(models[0]).stem}" if models else f"There is: {listed}."
        )
        raise WeightsNotFound(f"{repository} has {what}, and no config.json.", hint=hint)
    return [meant[0], *_decoder_of(meant[0], found), *_codec_of(codecs, word)]


def _decoder_of(model: str, found: list[str]) -> list[str]:
    if "backbone" not in model:
        return []
    exact = model.replace("-backbone", "-decoder")
    others = [name for name in found if "decoder" in name]
    return [exact] if exact in others else sorted(others, key=len)[:1]


def _codec_of(codecs: list[str], word: str) -> list[str]:
    """The codec's file: of the same word if there is one, else the first, which is the one with fewest words."""
    same = [name for name in codecs if word and word.lower() in name.lower()]
    return (same or sorted(codecs, key=len))[:1]
