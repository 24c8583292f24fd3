// One answer: sound that plays as it comes, words that appear with their sound, and where it was when it was stopped.
import * as lab from "./lab.js";
import { Playback } from "./player.js";
import { samplesOf } from "./sound-stream.js";

export class Answer {
  // `onlevel` gets 0..1 while it sounds, `onheard` the samples once they have sounded; `onend` is called once it was
  // heard to its end.
  constructor(captions, name, onlevel, onheard, onend) {
    Object.assign(this, { captions, name, onlevel, onheard, item: null, entry: null, words: [], pushed: 0, stopped: false });
    this.unheard = []; // samples
    this.told = 0; // how many were heard
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
    this.unheard.push(samples);
    this.playback.push(samples);
  }

  // Words whose sound has begun are shown.
  heard(played = this.playback.played) {
    while (this.words.length && this.words[0].at <= played) {
      const { text } = this.words.shift();
      if (this.entry) this.captions.set(this.entry, this.entry.text + text);
      else this.entry = Object.assign(this.captions.add(this.name, "assistant", text), { id: this.item });
    }
    this.tell(played);
    this.onlevel(this.playback.level);
    lab.buffered(this.pushed - this.playback.played, this.playback.dry);
  }

  tell(played) {
    while (this.told < played && this.unheard.length) {
      const next = this.unheard.shift();
      const heard = next.subarray(0, played - this.told);
      if (heard.length < next.length) this.unheard.unshift(next.subarray(heard.length));
      this.told += heard.length;
      this.onheard(heard);
    }
  }

  end() { this.playback.end(); }

  // Returns how many milliseconds of it were heard.
  stop() {
    this.stopped = true;
    this.tell(this.playback.played);
    this.playback.stop();
    this.onlevel(0);
    lab.buffered(0, this.playback.dry);
    return Math.floor(Math.min(this.playback.played, this.pushed) / 24);
  }
}
