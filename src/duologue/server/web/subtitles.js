// Words or lines with their times as WebVTT, which players and editors of video read.
const LONGEST = 80; // characters of a cue
const PAUSE = 0.6; // seconds of silence that end one

// `cues` are { from, to, text, voice? }, times in seconds.
export function vtt(cues) {
  const shown = cues.map(({ from, to, text, voice }) => (
    `${clock(from)} --> ${clock(to)}\n${voice ? `<v ${escaped(voice)}>` : ""}${escaped(text)}\n`
  ));
  return new Blob([["WEBVTT\n", ...shown].join("\n")], { type: "text/vtt" });
}

// The words that a server told of a text, { word, start, end, text_start, text_end }, as cues in the text's own letters.
export function cuesOf(text, words) {
  const letters = [...text]; // the server counts code points
  const cues = [];
  let cue = null;
  for (const { word, start, end, text_start: first, text_end: last } of words) {
    const ends = !cue || /[.!?…]$/.test(cue.said) || start - cue.to > PAUSE || cue.text.length + word.length > LONGEST;
    if (ends) cues.push(cue = { from: start, to: end, text: "", first: first ?? null, last: null });
    cue.said = word; // "Doctor", where "Dr." is written: no end of a sentence
    cue.to = Math.max(cue.to, end);
    if (last !== undefined) cue.last = Math.max(cue.last ?? 0, last);
    cue.first ??= first ?? null;
    cue.text = cue.last === null ? `${cue.text} ${word}`.trim() : letters.slice(cue.first, cue.last).join("");
  }
  return cues;
}

function clock(seconds) {
  const ms = Math.round(1_000 * seconds);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  return `${two(ms / 3_600_000)}:${two(ms / 60_000 % 60)}:${two(ms / 1_000 % 60)}.${String(ms % 1_000).padStart(3, "0")}`;
}

const escaped = (text) => text.replace(/\s+/g, " ").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
