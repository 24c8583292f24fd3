// What was spoken of a dialogue: the last take of each line, saved as a mix or voice by voice. Knows no server.
import { lines, numberOf, voiceOf, wordsOf } from "./dialogue-lines.js";
import { download, fileName, joined, RATE, toInt16, wav, wavOf } from "./files.js";
import { stems } from "./stems.js";
import { vtt } from "./subtitles.js";

const $ = (id) => document.getElementById(id);
const takes = new WeakMap(); // of a line: { words, voice, name, chunks }

export function keepTake(item, take) {
  takes.set(item, take);
  offer();
}

// The take of a line, unless the line is another one by now.
export function takeOf(item) {
  const take = takes.get(item);
  return take && take.words === wordsOf(item) && take.voice === voiceOf(item) ? take : null;
}

const spoken = () => lines().map(takeOf).filter(Boolean);

// What can be saved now: the mix, and each voice alone if there are several.
export function offer() {
  const names = new Map(spoken().map(({ voice, name }) => [voice, name]));
  for (const id of ["save", "subtitles"]) $(`dialogue-${id}`).disabled = !names.size;
  $("dialogue-stems").hidden = names.size < 2;
  const shown = [...names].map(([voice, name], i) => `${voice}/${i}/${name}`).join();
  if ($("dialogue-stems").dataset.shown === shown) return; // or the focus would be lost
  $("dialogue-stems").dataset.shown = shown;
  $("dialogue-stems").replaceChildren("One voice alone, as long as the whole: ", ...[...names].map(([voice, name], i) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${name} WAV` });
    button.addEventListener("click", () => saveStem(voice, fileName(`dialogue ${i + 1} ${name}`, "wav")));
    return button;
  }));
}

// Returns the numbers of the lines that aren't in it.
export function saveMix() {
  download(wav(spoken().flatMap(({ chunks }) => chunks)), "dialogue.wav");
  return lines().filter((item) => !takeOf(item)).map(numberOf);
}

// The lines with the times that they have in the mix.
export function saveSubtitles() {
  let at = 0;
  download(vtt(spoken().map(({ words, name, chunks }) => {
    const from = at;
    at += joined(chunks).length / RATE;
    return { from, to: at, text: words, voice: name };
  })), "dialogue.vtt");
}

function saveStem(voice, name) {
  const found = stems(spoken()).find((track) => track.voice === voice);
  download(wavOf(toInt16(found.samples)), name);
}
