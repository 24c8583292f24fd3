"""The quality table as a page: tables between marks in a Markdown file, and a plot beside it. Measures nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError

Row = dict[str, Any]
COLOURS = {"backbone": "#1b6ca8", "depth": "#c8553d", "heads": "#7a5195", "embeddings": "#8a8a8a", "all": "#222222"}


def write_page(result: dict[str, Any], path: Path) -> None:
    """Renew the parts of the page between `<!-- name -->` and `<!-- end of name -->`, and NAME.svg beside it."""
    text = path.read_text(encoding="utf-8")
    parts: dict[str, Callable[[dict[str, Any]], str]] = {
        "settings": _settings, "whole": _whole, "parts": _parts, "importance": _importance, "codec": _codec,
        "speed": _speed,
    }  # fmt: skip
    for name, made in parts.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if not marked.search(text):
            raise InputError(f"{path} has no place for the {name}.", hint=f"Put <!-- {name} --> marks.", field="docs")
        body = made(result)
        text = marked.sub(lambda found, body=body: f"{found[1]}{body}\n{found[2]}", text)  # type: ignore[misc]
    path.write_text(text, encoding="utf-8")
    plot(result, path.with_suffix(".svg"))


def _settings(result: dict[str, Any]) -> str:
    settings, machine = result["settings"], result["machine"]
    clips = settings["sentences"] * len(settings["seeds"])
    spoken = f"{clips} clips a row, the voices in turn, first attempts, read by {settings.get('judge')}"
    return (
        f"{settings['model']} (weights {settings['weights_blake2']}), {_dates(result)}, {machine['cpu']}, "
        f"duologue {result['versions']['duologue']}. Logits: {settings['frames']} frames of "
        f"{settings['logit_sentences']} held-out sentences. Speech: {spoken if clips else 'not measured'}."
    )


def _dates(result: dict[str, Any]) -> str:
    """The day of the rows; where there are several, which rows are of which."""
    newest = result["date"][:10]
    dates = {row["type"]: row.get("date", newest) for row in result["rows"]}
    usual = max(sorted(dates.values()), key=list(dates.values()).count, default=newest)
    others = [f"{kind} {date}" for kind, date in dates.items() if date != usual]
    return ", ".join([usual, *others, *([f"speed {newest}"] if newest != usual else [])])


def _table(titles: list[str], lines: list[list[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rows(result: dict[str, Any], **wanted: Any) -> list[Row]:
    return [row for row in result["rows"] if all(row[name] == value for name, value in wanted.items())]


def _whole(result: dict[str, Any]) -> str:
    titles = ["type", "bits", "MB", "substituted %", "KL a frame", "top-1 c0 / rest", "greedy codes",
              "WER % (difference, 95 %)", "similarity", "DNSMOS"]  # fmt: skip
    lines = []
    for row in _rows(result, part="all", importance=False):
        logits = row["logits"]
        lines.append([
            row["type"], f"{row['bits_per_weight']:.2f}", f"{row['megabytes']:.1f}",
            f"{row['fallback_percent']:.0f}", f"{logits['kl_per_frame']:.4f}",
            f"{logits['top_1_first_percent']:.1f} / {logits['top_1_depth_percent'] or 100:.1f}",
            f"{logits['greedy_codes_percent']:.1f}", *_speech(row),
        ])  # fmt: skip
    return _table(titles, lines)


def _speech(row: Row) -> list[str]:
    if "speech" not in row:
        return ["–"] * 3
    return [
        _estimate(row["speech"][name], digits)
        for name, digits in (("wer_percent", 1), ("similarity", 3), ("dnsmos", 2))
    ]


def _estimate(value: dict[str, Any], digits: int) -> str:
    low, high = value["interval_95"]
    if value["difference"] == low == high == 0:
        return f"{value['mean']:.{digits}f}"
    return f"{value['mean']:.{digits}f} ({value['difference']:+.{digits}f}, {low:+.{digits}f} to {high:+.{digits}f})"


def _parts(result: dict[str, Any]) -> str:
    """KL a frame of each type on each part, and the word errors where they were counted."""
    names = ["backbone", "depth", "heads", "embeddings", "all"]
    kinds = list(dict.fromkeys(row["type"] for row in result["rows"] if row["part"] != "all"))
    lines = []
    for kind in kinds:
        found = {row["part"]: row for row in _rows(result, type=kind, importance=False)}
        cells = [f"{found[name]['logits']['kl_per_frame']:.4f}" if name in found else "–" for name in names]
        words = [_difference(found[name]) if name in found else "–" for name in ("backbone", "depth")]
        lines.append([kind, *cells, *words])
    return _table(["KL a frame on", *names, "WER, backbone", "WER, depth"], lines)


def _difference(row: Row) -> str:
    if "speech" not in row:
        return "–"
    value = row["speech"]["wer_percent"]
    low, high = value["interval_95"]
    return f"{value['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def _importance(result: dict[str, Any]) -> str:
    lines = []
    for row in _rows(result, importance=True):
        plain = _rows(result, type=row["type"], part=row["part"], importance=False)
        if not plain:
            continue
        before, after = plain[0]["logits"]["kl_per_frame"], row["logits"]["kl_per_frame"]
        change = f"{100 * (after / before - 1):+.0f} %" if before else "–"
        lines.append([row["type"], row["part"], f"{before:.4f}", f"{after:.4f}", change, _difference(row)])
    return _table(["type", "part", "KL a frame, plain", "weighted", "change", "WER of weighted − float32"], lines)


def _speed(result: dict[str, Any]) -> str:
    lines = [
        [speed["engine"], f"{speed['frame_ms']:.2f}", f"{speed['fastest_frame_ms']:.2f}", f"{speed['backbone_ms']:.2f}",
         f"{speed['depth_ms']:.2f}", f"{speed['weight_bytes'] / 1e6:.1f}", f"{speed['others_share']:.2f}"]
        for speed in result["speed"]
    ]  # fmt: skip
    titles = ["engine", "ms a frame", "fastest", "backbone", "depth", "MB in memory", "cores taken by others"]
    return _table(titles, lines)


def _codec(result: dict[str, Any]) -> str:
    titles = ["type", "MB", "substituted %", "codes changed %, first / all", "decoded: SNR dB", "log-mel distance",
              "pitch kept %"]  # fmt: skip
    lines = [
        [row["type"], f"{row['megabytes']:.1f}", f"{row['fallback_percent']:.0f}",
         f"{row['first_code_changed_percent']:.1f} / {row['codes_changed_percent']:.1f}", f"{row['snr_db']:.1f}",
         f"{row['mel_distance']:.3f}", f"{row['pitch_kept_percent']:.1f}"]
        for row in result.get("codec", [])
    ]  # fmt: skip
    return _table(titles, lines)


def plot(result: dict[str, Any], path: Path) -> None:
    """KL a frame against bits per weight, one line per part; the engine's own formats as crosses."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "duologue", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.2))
    for part, colour in COLOURS.items():
        rows = [row for row in _rows(result, part=part, importance=False) if row["logits"]["kl_per_frame"] > 0]
        pure = [row for row in rows if row["type"][0].isupper() and not row["type"].endswith("_M")]
        gguf = sorted(pure, key=lambda row: row["bits_per_weight"])
        points = [(row["bits_per_weight"], row["logits"]["kl_per_frame"]) for row in gguf]
        axes.plot(*zip(*points, strict=True), "o-", color=colour, label=part, markersize=4, linewidth=1)
        own = [(row["bits_per_weight"], row["logits"]["kl_per_frame"]) for row in rows if row not in pure]
        axes.plot(*zip(*own, strict=True), "x", color=colour, markersize=7)
        if part == "all":
            for row in rows:
                axes.annotate(row["type"], (row["bits_per_weight"], row["logits"]["kl_per_frame"]),
                              textcoords="offset points", xytext=(4, 5), fontsize=7)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="bits per weight of the rounded part")
    axes.set(
        ylabel="KL from float32, nats a frame",
        title=f"{result['settings']['model']} (crosses: mixtures, engine's formats)",
    )
    axes.set_xticks([4, 5, 6, 8, 16], ["4", "5", "6", "8", "16"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
