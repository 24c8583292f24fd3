"""The recipe that grows the embedded voice: what it would do holds together."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from duologue.cli.main import app
from duologue.training.codec import load_config
from duologue.training.codec_start import start_codec
from duologue.training.csm_recipe import load_recipe
from duologue.weights.embedded import FOLDER

RECIPES = Path(__file__).parents[2] / "recipes" / "voice"


def planned(folder: Path, *more: str) -> list[list[str]]:
    words = [sys.executable, str(RECIPES / "grow.py"), "--data", str(folder), "--minutes", "90", "--dry-run", *more]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    return [shlex.split(line[2:]) for line in done.stdout.splitlines() if line.startswith("+ ")]


def understood(words: list[str]) -> None:
    """Parse a command as the command line does, down to the verb's options. Raises what it would say."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("duologue", list(words))
    while hasattr(command, "resolve_command"):  # a group of verbs
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        context = command.make_context(name, list(words), context)


@pytest.mark.parametrize("keep", [False, True])
def test_every_step_is_a_command_that_exists(tmp_path: Path, keep: bool) -> None:
    steps = planned(tmp_path, *(["--keep-codec"] if keep else []))
    ours = [words[1:] for words in steps if words[0] == "duologue"]
    for words in ours:
        understood(words)
    verbs = [" ".join(words[:2]) for words in ours]
    assert ("train codec" in verbs) is not keep and ("train refine" in verbs) is keep
    assert verbs[-4:] == ["corpus shift", "corpus shift", "train csm", "evaluate voice"]
    assert not list(tmp_path.iterdir()), "a dry run leaves nothing"


def test_a_misspelt_option_would_be_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        understood(["train", "codec", "--confg", "x"])


def test_the_recipes_fit_the_embedded_voice() -> None:
    recipe = load_config(RECIPES / "codec_onward.json")
    codec = start_codec(FOLDER / "codec.safetensors", recipe.mimi)
    assert len(codec.decoder.blocks) == recipe.mimi.spectral.decoder_blocks  # type: ignore[union-attr,arg-type]
    assert load_recipe(RECIPES / "csm_onward.json").model.codec_entries == recipe.mimi.quantizer.entries
