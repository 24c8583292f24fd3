// Plays samples as they come, in the audio thread. Tells how many it has played and when it ran dry.
class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunks = [];
    this.offset = 0; // into chunks[0]
    this.queued = 0;
    this.played = 0;
    this.dry = 0;
    this.started = false;
    this.ended = false;
    this.blocks = 0;
    this.port.onmessage = ({ data }) => {
      if (data.end) this.ended = true;
      else if (data.stop) { // or it would run as long as the page
        this.chunks = [];
        this.queued = 0;
        this.ended = true;
      } else {
        this.chunks.push(data.samples);
        this.queued += data.samples.length;
      }
    };
  }

  process(_, [[out]]) {
    // 80 ms in hand before the first sound: one frame more than the network needs to hiccup.
    if (!this.started && (this.queued >= 1920 || this.ended)) this.started = true;
    let filled = 0;
    while (this.started && filled < out.length && this.chunks.length) {
      const take = Math.min(out.length - filled, this.chunks[0].length - this.offset);
      out.set(this.chunks[0].subarray(this.offset, this.offset + take), filled);
      filled += take;
      this.offset += take;
      if (this.offset === this.chunks[0].length) {
        this.chunks.shift();
        this.offset = 0;
      }
    }
    this.queued -= filled;
    this.played += filled;
    const done = this.ended && this.queued === 0;
    if (this.started && filled < out.length && !done) {
      this.dry += 1;
      this.started = false; // wait for 80 ms again instead of stuttering
    }
    if (++this.blocks % 8 === 0 || done) this.port.postMessage({ played: this.played, dry: this.dry, done });
    return !done;
  }
}
registerProcessor("player", Player);
