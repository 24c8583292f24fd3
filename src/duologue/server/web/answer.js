// One answer: sound that plays as it comes, words that appear with their sound, and where it was when it was stopped.
import * as lab from "./lab.js";
import { Playback } from "./player.js";
import { samplesOf } from "./sound-stream.js";

export class Answer {
  // `onlevel` gets 0..1 while it sounds, `onend` is called once it was heard to its end.
  constructor(captions, name, onlevel, onend) {
    Object.assign(this, { captions, name, onlevel, item: null, entry: null, words: [], pushed: 0, stopped: false });
    this.playback = new Playback();
    this.playback.addEventListener("progress", () => { if (!this.stopped) this.heard(); });
    this.playback.finished.then(() => {
      if (this.stopped) return;
      this.heard(Infinity);
      onlevel(0);
      onend();
    });
  }

  say(text) { this.words.push({ at: this.pushed, text }); }

  sound(base64) {
    const samples = samplesOf(base64);
    this.pushed += samples.length;
    this.playback.push(samples);
  }

  // Words whose sound has begun are shown.
  heard(played = this.playback.played) {
    while (this.words.length && this.words[0].at <= played) {
      const { text } = this.words.shift();
      if (this.entry) this.captions.set(this.entry, this.entry.text + text);
      else this.entry = Object.assign(this.captions.add(this.name, "assistant", text), { id: this.item });
    }
    this.onlevel(this.playback.level);
    lab.buffered(this.pushed - this.playback.played, this.playback.dry);
  }

  end() { this.playback.end(); }

  // Returns how many milliseconds of it were heard.
  stop() {
    this.stopped = true;
    this.playback.stop();
    this.onlevel(0);
    lab.buffered(0, this.playback.dry);
    return Math.floor(Math.min(this.playback.played, this.pushed) / 24);
  }
}
