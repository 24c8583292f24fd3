"""Grow the embedded voice for as long as there is time: more speech, a better codec, a better speech model.

    python recipes/voice/grow.py --data DIR --minutes 150 [--corpus-hours 12] [--codec-from FILE | --keep-codec]

With --keep-codec the encoder and the codebooks stay, so that codes of earlier days do; only the decoder goes on.

Everything lies in DIR and is found again there: call it again after any interruption, also after `kill -9`, and it goes
on. It runs at low priority. Of the time given, shares go to making speech, the codec, and the speech model; what an
earlier call finished takes none. The end is DIR/package_model, a whole model folder, and the figures of it; nothing in
src/ is touched until you copy it there. `--dry-run` says what would be done.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
EMBEDDED = HERE.parents[1] / "src" / "duologue" / "weights" / "embedded"
SHARES = {"corpus": 0.35, "codec": 0.3, "csm": 0.35}
VOICE_PACKS = "kokoro-js@1.2.1"
SHARD_HOURS = 0.08
FIRST_SHARDS = {"reading": 1010, "chat": 103}  # of each mix of texts; the numbers below are in codes/


@dataclass(frozen=True)
class Plan:
    """Where, how long, and from what."""

    data: Path
    minutes: float
    corpus_hours: float
    keep_codec: bool
    codec_from: Path
    processes: int
    dry: bool

    @property
    def codec(self) -> Path:
        """The codec whose codes the speech model learns."""
        return EMBEDDED / "codec.safetensors" if self.keep_codec else self.data / "codec.safetensors"

    @property
    def sounding(self) -> Path:
        """The same codes' best decoder."""
        return self.data / "refined" / "codec.safetensors" if self.keep_codec else self.codec


def main(given: list[str] | None = None) -> None:
    """Run what is left of the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with some gigabytes of room, outside git")
    parser.add_argument("--minutes", type=float, required=True, help="time for everything that is not done yet")
    parser.add_argument("--corpus-hours", type=float, default=20.0, help="enough speech; goes on to the codec then")
    parser.add_argument("--codec-from", type=Path, default=EMBEDDED / "codec.safetensors", help="codec to go on from")
    parser.add_argument("--keep-codec", action="store_true", help="leave the codec; codes/ of earlier days stay valid")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args(given)
    plan = Plan(asked.data.resolve(), asked.minutes, asked.corpus_hours, asked.keep_codec, asked.codec_from.resolve(),
                asked.processes, asked.dry_run)  # fmt: skip
    if not plan.dry:
        plan.data.mkdir(parents=True, exist_ok=True)
        os.nice(10)
    left = shares_left(plan)
    prepare_teacher(plan)
    make_corpus(plan, left.get("corpus", 0.0))
    if plan.keep_codec:
        encode(plan)
        predict(plan)
        refine_decoder(plan, left.get("codec", 0.0))
    else:
        train_codec(plan, left.get("codec", 0.0))
    encode(plan)
    train_csm(plan, left.get("csm", 0.0))
    package(plan)


def shares_left(plan: Plan) -> dict[str, float]:
    """Minutes for each part that is not done: the shares of the others fall to them."""
    codec = (plan.data / "refined" / "done") if plan.keep_codec else plan.codec
    done = {"corpus": hours_made(plan) >= plan.corpus_hours, "codec": codec.exists()}
    open_shares = {name: share for name, share in SHARES.items() if not done.get(name)}
    total = sum(open_shares.values())
    minutes = {name: plan.minutes * share / total for name, share in open_shares.items()}
    print("minutes for " + ", ".join(f"{name}: {value:.0f}" for name, value in minutes.items()), flush=True)
    return minutes


def hours_made(plan: Plan) -> float:
    """Speech at hand, about."""
    return SHARD_HOURS * len(list((plan.data / "shards").glob("[0-9]*.jsonl")))


def prepare_teacher(plan: Plan) -> None:
    """A virtual environment for the teacher, its voice packs, and WordNet's phrases."""
    environment = plan.data / "teacher"
    if not (environment / "ready").exists():
        run(plan, sys.executable, "-m", "venv", environment)
        pip = (environment / "bin" / "python", "-m", "pip", "install", "--quiet")
        run(plan, *pip, "-r", HERE / "teacher-requirements.txt")
        run(plan, *pip, "--no-deps", "kokoro-onnx==0.6.1")
        if not plan.dry:
            (environment / "ready").touch()
    if not (plan.data / "package_voices").exists():
        run(plan, "npm", "pack", VOICE_PACKS, "--pack-destination", plan.data)
        run(plan, "tar", "xzf", plan.data / "kokoro-js-1.2.1.tgz", "-C", plan.data, "package/voices")
        if not plan.dry:
            (plan.data / "package" / "voices").rename(plan.data / "package_voices")
    if not plan.dry and not Path("/usr/share/wordnet").is_dir():
        sys.exit("WordNet is missing: install Debian's wordnet-base.")


def make_corpus(plan: Plan, minutes: float) -> None:
    """Makers, one a process, until there is enough speech or the time is over."""
    if minutes:
        wait(start_makers(plan, plan.processes), minutes, lambda: hours_made(plan) >= plan.corpus_hours)


def start_makers(plan: Plan, count: int) -> list[subprocess.Popen[bytes] | None]:
    """Processes that make speech until they are stopped: of both mixes in turns, read sentences first."""
    words = (plan.data / "teacher" / "bin" / "python", "-m", "duologue.corpus.synthesize", "--shards", 10_000,
             "--out", plan.data / "shards", "--voices", plan.data / "package_voices")  # fmt: skip
    mixes = list(FIRST_SHARDS) * count
    return [start(plan, *words, "--mix", mix, "--first", FIRST_SHARDS[mix]) for mix in mixes[:count]]


def predict(plan: Plan) -> None:
    """What the speech model in the package would have said, so that the decoder learns to sound that."""
    run(plan, "duologue", "corpus", "predict", "--csm", EMBEDDED / "csm.safetensors", "--config",
        HERE / "csm_onward.json", "--shards", plan.data / "shards", "--codes", plan.data / "codes",
        "--out", plan.data / "predicted")  # fmt: skip


def refine_decoder(plan: Plan, minutes: float) -> None:
    """A better decoder for the same codes, in one process: at a high rate, then down a cosine. Others make speech."""
    run_folder, recipe = plan.data / "refined", plan.data / "codec_refine.json"
    if (run_folder / "done").exists():
        return
    values = json.loads((HERE / "codec_refine.json").read_text(encoding="utf-8"))
    values |= {"shards": str(plan.data / "shards"), "prepared": str(plan.data / "prepared")}
    values |= {"predicted": str(plan.data / "predicted"), "predicted_share": 0.25}
    words = ("duologue", "train", "refine", "--config", recipe, "--codec", plan.codec_from, "--run", run_folder)
    makers = start_makers(plan, plan.processes - 1)
    try:
        ending = run_folder / "ending"
        if not ending.exists():
            write(plan, recipe, values | {"steps": 1_000_000})
            wait([start(plan, *words)], minutes * 0.6, lambda: False)
            write(plan, recipe, values | {"steps": newest_step(run_folder / "checkpoints") + values["decay_steps"]})
            if not plan.dry:
                ending.touch()
        run(plan, *words)
    finally:
        wait(makers, 0.0, lambda: True)
    if not plan.dry:
        (run_folder / "done").touch()


def train_codec(plan: Plan, minutes: float) -> None:
    """The whole codec, from an earlier one: at a high rate for most of the time, then down a cosine to the end."""
    if plan.codec.exists():
        return
    run_folder, recipe = plan.data / "codec", plan.data / "codec.json"
    values = json.loads((HERE / "codec_onward.json").read_text(encoding="utf-8"))
    values |= {"shards": str(plan.data / "shards"), "prepared": str(plan.data / "prepared")}
    words = ("duologue", "train", "codec", "--config", recipe, "--run", run_folder, "--from", plan.codec_from,
             "--processes", plan.processes)  # fmt: skip
    ending = run_folder / "ending"  # the cosine has begun
    if not ending.exists():
        write(plan, recipe, values)
        wait([start(plan, *words)], minutes * 2 / 3, lambda: False)
        write(plan, recipe, values | {"steps": newest_step(run_folder / "checkpoints") + values["decay_steps"]})
        if not plan.dry:
            ending.touch()
    run(plan, *words)
    run(plan, "duologue", "train", "freeze", "--run", run_folder, "--out", plan.data / "codec.safetensors", "--learned")


def newest_step(checkpoints: Path) -> int:
    """The step of the newest checkpoint; 0 without one."""
    found = sorted(checkpoints.glob("step-*.safetensors"))
    match = re.search(r"step-(\d+)", found[-1].name) if found else None
    return int(match[1]) if match else 0


def encode(plan: Plan) -> None:
    """Codes of every shard, and of copies that start a little later."""
    shards, listings, codes = (plan.data / name for name in ("shards", "listings", "codes"))
    run(plan, "duologue", "corpus", "encode", "--codec", plan.codec, "--shards", shards, "--out", codes)
    if not plan.dry:
        listings.mkdir(exist_ok=True)
        for path in shards.glob("[0-9]*.jsonl"):
            shutil.copyfile(path, listings / path.name)
    for units in (1, 2):
        run(plan, "duologue", "corpus", "shift", "--codec", plan.codec, "--shards", shards, "--out", listings,
            "--codes", codes, "--units", units)  # fmt: skip
    for bundle in sorted((HERE / "codes").glob("*.tar.xz")) if plan.keep_codec else ():
        run(plan, "tar", "xJf", bundle, "-C", plan.data)  # earlier days' codes, of the same codec


def train_csm(plan: Plan, minutes: float) -> None:
    """The speech model, from the one in the package."""
    run(plan, "duologue", "train", "csm", "--config", HERE / "csm_onward.json", "--codes", plan.data / "codes",
        "--corpus", plan.data / "listings", "--run", plan.data / "csm", "--from", "embedded", "--minutes",
        round(minutes), "--processes", plan.processes)  # fmt: skip


def package(plan: Plan) -> None:
    """A model folder, and how well it speaks."""
    release = plan.data / "release"
    if not plan.dry:
        release.mkdir(exist_ok=True)
        shutil.copyfile(plan.sounding, release / "codec.safetensors")
        for name in ("csm.safetensors", "csm.json"):
            shutil.copyfile(plan.data / "csm" / "export" / name, release / name)
    figures = plan.data / "voice.json"
    script = (sys.executable, HERE / "package.py", "--release", release, "--shards", plan.data / "shards",
              "--out", plan.data / "package_model", "--figures", figures)  # fmt: skip
    run(plan, *script)
    run(plan, "duologue", "evaluate", "voice", "--model", plan.data / "package_model", "--out", figures)
    run(plan, *script)  # the card takes the figures in


def write(plan: Plan, path: Path, values: dict[str, object]) -> None:
    """A recipe with this run's folders."""
    if not plan.dry:
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def command(words: tuple[object, ...]) -> list[str]:
    """`duologue …` runs from this interpreter, whether or not its script is on the PATH."""
    plain = list(map(str, words))
    return [sys.executable, "-m", "duologue.cli.main", *plain[1:]] if plain[0] == "duologue" else plain


def start(plan: Plan, *words: object) -> subprocess.Popen[bytes] | None:
    """Begin a command in a group of its own, one thread a process."""
    print("+", *words, flush=True)
    if plan.dry:
        return None
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1] / "src")}
    return subprocess.Popen(command(words), env=environment, start_new_session=True)


def run(plan: Plan, *words: object) -> None:
    """A command to its end. Stops everything where it fails."""
    process = start(plan, *words)
    if process is not None and process.wait():
        sys.exit(f"It ended with {process.returncode}: {' '.join(map(str, words))}")


def wait(processes: list[subprocess.Popen[bytes] | None], minutes: float, enough: Callable[[], bool]) -> None:
    """Until all have ended, `enough()` says so, or the time is over; whoever still runs is ended (nothing is lost)."""
    running = [process for process in processes if process is not None]
    over = time.monotonic() + 60 * minutes
    while any(process.poll() is None for process in running) and time.monotonic() < over and not enough():
        time.sleep(2)
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # torchrun ends its own processes then
            process.wait()
        elif process.returncode:
            sys.exit(f"A process ended with {process.returncode}; its message stands above.")


if __name__ == "__main__":
    main()
