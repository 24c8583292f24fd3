// The sound of a conversation, kept in this tab only if that was asked for: you on the left, it on the right, each
// where it was heard. What nobody heard (muted, interrupted) isn't on it.
import { RATE, toInt16, wavOf } from "./files.js";

export const YOU = 0, IT = 1;
const JOIN = RATE / 5; // samples; a smaller gap is the timer's, not a pause
const LONGEST = 3600 * RATE;

export class Tape {
  constructor() {
    this.pieces = []; // { side, at, samples }, `at` in samples of the page's clock
    this.ends = [-Infinity, -Infinity];
  }

  get isEmpty() { return !this.pieces.length; }

  // Samples that have just been heard.
  add(side, samples) {
    const at = Math.round(performance.now() * RATE / 1000) - samples.length;
    const joins = at < this.ends[side] + JOIN;
    const start = joins ? this.ends[side] : at;
    if (!this.isEmpty && start - this.pieces[0].at > LONGEST) return;
    this.pieces.push({ side, at: start, samples: toInt16(samples) });
    this.ends[side] = start + samples.length;
  }

  asWav() {
    const first = this.pieces.reduce((least, { at }) => Math.min(least, at), Infinity);
    const both = new Int16Array(2 * (Math.max(...this.ends) - first));
    for (const { side, at, samples } of this.pieces) {
      for (let i = 0; i < samples.length; i++) both[2 * (at - first + i) + side] = samples[i];
    }
    return wavOf(both, 2);
  }
}
