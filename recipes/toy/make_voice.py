"""`make voice`: corpus -> codec -> speech model -> package, once through with the real code at toy sizes.

    python recipes/toy/make_voice.py --out build/voice

The corpus is what the repository holds of speech: the embedded voices' own recordings and a few sentences that they
speak. The result loads and makes sound, but says nothing: recipes/voice/README.md has the sizes that speak.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch

import duologue
from duologue.cli.main import app
from duologue.training.loop_log import read_curves

HERE = Path(__file__).parent
SPOKEN = {"af_heart": "The kettle is nearly boiling.", "bm_george": "We walked along the river."}
STEPS = 80


def main(given: list[str] | None = None) -> None:
    """Run every step; print how far each loss fell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/voice"))
    out = parser.parse_args(given).out
    torch.set_num_threads(1)
    model = duologue.load(engine="auto", device="cpu")
    write_recordings(model, out / "recordings")
    step("corpus", "prepare", out / "recordings", "--out", out / "shards", "--licence", "Apache-2.0")
    train_codec(out)
    step("corpus", "encode", "--codec", out / "codec.safetensors", "--shards", out / "shards", "--out", out / "codes")
    step("train", "csm", "--config", HERE / "csm.json", "--codes", out / "codes", "--corpus", out / "shards",
         "--run", out / "csm", "--steps", STEPS, "--nice", 0)  # fmt: skip
    package(out)
    for run, name in (("codec", "mel"), ("csm", "first")):
        first, last = fall(out / run / "curves.csv", name)
        print(f"{run}: {name} {first:.3f} -> {last:.3f}; {out / run / 'curves.png'}, {out / run / 'MODEL_CARD.md'}")
    audio = duologue.load(out / "package", device="cpu").generate("Hello.", seed=1, retries=0, check=False)
    audio.save(out / "hello.wav")
    print(f"{out / 'package'} loads and makes {audio.seconds:.1f} s of sound: {out / 'hello.wav'}")


def step(*words: object) -> None:
    """One command of `duologue`, in this process."""
    print("duologue", *words, flush=True)
    app([str(word) for word in words], standalone_mode=False)


def write_recordings(model: duologue.Model, folder: Path) -> None:
    """A folder as users have them: one subfolder a voice, sound with its words beside."""
    for name in ("af_heart", "am_michael", "bf_emma", "bm_george"):
        voice = model.voice(name[3:])
        (folder / name).mkdir(parents=True, exist_ok=True)
        voice.audio.save(folder / name / "prompt.wav")
        (folder / name / "prompt.txt").write_text(voice.transcript, encoding="utf-8")
    for name, text in SPOKEN.items():
        model.generate(text, voice=name[3:], seed=1).save(folder / name / "spoken.wav")


def train_codec(out: Path) -> None:
    """The codec's recipe with this run's folders, trained and frozen."""
    values = json.loads((HERE / "codec.json").read_text(encoding="utf-8"))
    recipe = out / "codec.json"
    values |= {"shards": str(out / "shards"), "prepared": str(out / "prepared")}
    recipe.write_text(json.dumps(values), encoding="utf-8")
    step("train", "codec", "--config", recipe, "--run", out / "codec")
    step("train", "freeze", "--run", out / "codec", "--out", out / "codec.safetensors")


def package(out: Path) -> None:
    """Codec, speech model and voices as one folder, by the script that packages the shipped voice."""
    release = out / "release"
    release.mkdir(exist_ok=True)
    shutil.copyfile(out / "codec.safetensors", release / "codec.safetensors")
    for name in ("csm.safetensors", "csm.json"):
        shutil.copyfile(out / "csm" / "export" / name, release / name)
    script = HERE.parent / "voice" / "package.py"
    words = ["--release", release, "--shards", out / "shards", "--out", out / "package", "--figures", out / "none"]
    subprocess.run([sys.executable, str(script), *map(str, words)], check=True)


def fall(curves: Path, name: str) -> tuple[float, float]:
    """A loss's mean over the first and the last three points of its curve."""
    points = [row[name] for row in read_curves(curves) if name in row]
    return sum(points[:3]) / len(points[:3]), sum(points[-3:]) / len(points[-3:])


if __name__ == "__main__":
    main()
