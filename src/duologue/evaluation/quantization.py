"""What each number type costs: size, speed, logits, codes, and speech. Rounds a model, part by part, and compares.

    python -m duologue.evaluation.quantization --out benchmarks/results/quantization.json --docs docs/quantization.md

Reference is the same model in float32. Logits are compared on held-out sentences with the reference's own codes forced;
speech is compared clip by clip. Importance comes from other sentences than those that are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import api
from ..api import Model
from ..engine.bench import measure
from ..engine.native_engine import NativeEngine
from ..errors import InputError
from ..weights.csm_files import CsmWeights, read_csm
from ..weights.load import locate
from ..weights.whole_model import read_whole
from .logit_agreement import Agreement, Reference, record
from .quantization_codec import codec_rows
from .quantization_importance import activation_squares
from .quantization_page import write_page
from .quantization_rows import ENGINE_FORMATS, REFERENCE, RowKey, build_row, row_keys
from .quantization_speech import Heard, Listening, compared
from .report import versions
from .sentences import held_out

SPEED_PLANS = ("float32", "float16", "bfloat16", *ENGINE_FORMATS)
BY_EAR = ("sentences", "seeds", "judge")  # settings of what is listened to


class Table:
    """The quality table of one model while it is made."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        files = locate(arguments.model)
        self.codec = read_whole(files).codec
        self.weights: CsmWeights = read_csm(files.csm, as_arrays=True)
        self.model: Model = api.load(arguments.model, engine="native-float32")
        self.recordings = [voice.audio.samples for voice in self.model.voices.values()]
        compared_on, others = held_out("heldout40"), held_out("heldout120")
        turns = record(self.model, compared_on[: arguments.logit_sentences])
        calibration = record(self.model, [text for text in others if text not in compared_on][:40])
        self.importance = activation_squares(self.weights.config, self.weights.tensors, calibration)
        assert isinstance(self.model.engine, NativeEngine)
        self.reference = Reference(self.model.engine, turns)
        self.sampling = self.model.usual.sampling(0)
        self.settings = {
            "model": self.model.name,
            "weights_blake2": hashlib.blake2b(files.csm.read_bytes(), digest_size=8).hexdigest(),
            "logit_sentences": arguments.logit_sentences,
            "frames": sum(len(turn.codes) for turn in turns),
            "sentences": arguments.sentences,
            "seeds": arguments.seeds,
        }
        self.listening: Listening | None = None
        if arguments.sentences:
            self.listening = Listening(
                self.model, compared_on[: arguments.sentences], arguments.seeds, arguments.threads
            )
            self.settings["judge"] = self.listening.judge
        self.heard: Heard | None = None  # the reference's speech

    def row(self, key: RowKey) -> dict[str, Any]:
        """Round, and compare logits and codes."""
        began = time.perf_counter()
        built = build_row(key, self.weights.config, self.weights.tensors, self.importance)
        agreement = self.reference.compare(built.engine, self.sampling)
        return {
            "type": key.type,
            "part": key.part,
            "importance": key.importance,
            "bits_per_weight": round(built.bits_per_weight, 3),
            "fallback_percent": round(built.fallback_percent, 1),
            "megabytes": round(built.file_bytes / 1e6, 2),
            "logits": _logits(agreement),
            "seconds": round(time.perf_counter() - began, 1),
            "date": versions()["date"][:10],
        }

    def speech(self, key: RowKey) -> dict[str, Any]:
        """Round, let it speak, and listen. The reference has to be first."""
        assert self.listening is not None
        built = build_row(key, self.weights.config, self.weights.tensors, self.importance)
        if built.same_weights and self.heard is not None:  # the same numbers say the same
            heard = self.heard
        else:
            model = self.model
            heard = self.listening.hear(Model(model.card, built.engine, model.codec, model.reader, model.voices))
        self.heard = self.heard or heard
        return {**compared(heard, self.heard), "clips_heard": heard.as_dict()}

    def speed(self) -> list[dict[str, Any]]:
        """Milliseconds per frame of the engine's formats; GGUF's types run as one of these."""
        config, tensors = self.weights.config, self.weights.tensors
        results = [measure(NativeEngine.from_weights(config, tensors, plan)) for plan in SPEED_PLANS]
        return [result.as_dict() for result in results]


def _logits(agreement: Agreement) -> dict[str, Any]:
    """What the page shows of an agreement; KL sums over a frame's draws, in nats."""
    books, first, depth = len(agreement.kl_by_codebook), agreement.first, agreement.depth
    changed = first.changed_percent + (books - 1) * (depth.changed_percent if depth else 0.0)
    return {
        "kl_per_frame": round(agreement.kl_nats * books, 6),
        "kl_first": round(first.kl_nats, 6),
        "kl_depth": round(depth.kl_nats, 6) if depth else None,
        "kl_by_codebook": list(agreement.kl_by_codebook),
        "kl_advance": round(agreement.advance.kl_nats, 6) if agreement.advance else None,
        "top_1_first_percent": round(first.top_1_percent, 2),
        "top_1_depth_percent": round(depth.top_1_percent, 2) if depth else None,
        "changed_draws_percent": round(changed / books, 2),
        "greedy_codes_percent": round(agreement.greedy_codes_percent, 2),
    }


def make(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole table, first by logits, then by ear; every row is written as soon as it is known."""
    table = Table(arguments)
    resumed = arguments.resume and arguments.out.is_file()
    kept = _kept_rows(arguments.out, table) if resumed else []
    earlier = json.loads(arguments.out.read_text(encoding="utf-8")) if resumed else {}
    result: dict[str, Any] = {
        "what": "a CSM with rounded weights against the same in float32",
        **versions(),
        "settings": table.settings,
        "speed": earlier.get("speed", []),  # until it is measured anew, at the end
        "codec": earlier.get("codec") or codec_rows(table.codec, table.recordings),
        "rows": kept,
    }
    rows: list[dict[str, Any]] = result["rows"]
    chosen = [key for key in row_keys() if not arguments.types or key.type in (*arguments.types, REFERENCE.type)]
    for key in chosen:
        if _found(rows, key) is None:
            rows.append(table.row(key))
            _write(result, arguments.out)
            print(f"{key}: {_line(rows[-1])}", flush=True)
    for key in sorted((key for key in chosen if key.spoken), key=lambda key: (key.importance, key.part != "all")):
        row = _found(rows, key)
        if table.listening is not None and row is not None and "speech" not in row:
            row["speech"] = table.speech(key)
            _write(result, arguments.out)
            print(f"{key}: {_line(row)}", flush=True)
    result["speed"] = table.speed()
    _write(result, arguments.out)
    return result


def _found(rows: Sequence[dict[str, Any]], key: RowKey) -> dict[str, Any] | None:
    return next((row for row in rows if RowKey(row["type"], row["part"], row["importance"]) == key), None)


def _kept_rows(path: Path, table: Table) -> list[dict[str, Any]]:
    """Rows of an earlier run of the same model and settings. Raises InputError for another's.

    What was heard then is kept by a run that listens to nothing, and may be added to one that did not.
    """
    earlier = json.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = earlier["rows"]
    heard = {name: earlier["settings"].get(name) for name in BY_EAR}
    if any("speech" in row for row in rows) and table.listening is None:
        table.settings |= heard
    elif not any("speech" in row for row in rows):
        heard = {name: table.settings.get(name) for name in BY_EAR}
    if {**earlier["settings"], **heard} != {**dict.fromkeys(BY_EAR), **table.settings}:
        raise InputError(f"{path} is of another model or other settings.", hint="Leave --resume away.", field="resume")
    for row in rows:
        row.setdefault("date", earlier["date"][:10])
    first = _found(rows, REFERENCE)
    if first is not None and "speech" in first:
        table.heard = Heard.from_dict(first["speech"]["clips_heard"])
    return rows


def _write(result: dict[str, Any], path: Path) -> None:
    order = list(row_keys())
    result["rows"].sort(key=lambda row: order.index(RowKey(row["type"], row["part"], row["importance"])))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, ensure_ascii=False, indent=1)
    path.write_text(_on_one_line(text) + "\n", encoding="utf-8")


def _on_one_line(text: str) -> str:
    """Long lists of numbers on one line each."""
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)


def _line(row: dict[str, Any]) -> str:
    logits, speech = row["logits"], row.get("speech")
    bits, per_frame = row["bits_per_weight"], logits["kl_per_frame"]
    text = f"{bits:.2f} bits, KL {per_frame:.4f} a frame, greedy {logits['greedy_codes_percent']:.1f} %"
    if speech:
        text += f", WER {speech['wer_percent']['mean']} % ({speech['wer_percent']['difference']:+})"
    return text


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="python -m duologue.evaluation.quantization", description=__doc__.partition("\n")[0]
    )
    options.add_argument("--model", help="what duologue.load takes; default: the embedded voice")
    options.add_argument("--logit-sentences", type=int, default=12, help="sentences whose logits are compared")
    options.add_argument(
        "--sentences", type=int, default=40, help="sentences to speak; 0: logits, sizes and speed alone"
    )
    options.add_argument("--seeds", nargs="+", type=int, default=[1], help="speak all sentences with each")
    options.add_argument("--types", nargs="+", help="only these types (and the reference)")
    options.add_argument("--threads", type=int, default=1, help="of the judge")
    options.add_argument("--resume", action="store_true", help="go on with the rows that --out already has")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/quantization.json"))
    options.add_argument("--docs", type=Path, help="also renew the tables and the plot of this page")
    options.add_argument("--page-only", action="store_true", help="measure nothing; renew --docs from --out")
    return options


def main(given: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(given)
    kept = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.page_only else None
    result = kept or make(arguments)
    if arguments.docs is not None:
        write_page(result, arguments.docs)
        print(arguments.docs)


if __name__ == "__main__":
    main()
