// A waveform that grows while speech is made; what has been played is in the accent colour.
const RATE = 24000;
const BUCKET = 480; // 20 ms per bar

export class Wave {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear() {
    this.bars = [];
    this.marks = [];
    this.rest = 0;
    this.peak = 0;
    this.played = 0;
    this.draw();
  }

  mark() { this.marks.push(this.bars.length); }

  add(samples) {
    for (const sample of samples) {
      this.peak = Math.max(this.peak, Math.abs(sample));
      if (++this.rest === BUCKET) {
        this.bars.push(this.peak);
        this.rest = this.peak = 0;
      }
    }
    this.draw();
  }

  seek(samples) {
    this.played = samples / BUCKET;
    this.draw();
  }

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.paint(); });
  }

  paint() {
    const { canvas, bars } = this;
    const scale = devicePixelRatio;
    const width = canvas.width = Math.round(canvas.clientWidth * scale);
    const height = canvas.height = Math.round(canvas.clientHeight * scale);
    if (!width) return;
    const style = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    // Four seconds fill the width; longer speech is squeezed so that all of it stays in sight.
    const shown = Math.max((4 * RATE) / BUCKET, bars.length);
    const step = width / shown;
    const bar = Math.max(step * 0.6, 1);
    const group = Math.max(1, Math.ceil(2 / step)); // no more bars than pixels to draw them
    for (let index = 0; index < bars.length; index += group) {
      const loud = Math.max(...bars.slice(index, index + group));
      const tall = Math.max(Math.sqrt(loud) * height * 0.86, 2 * scale);
      context.fillStyle = style.getPropertyValue(index < this.played ? "--wave-played" : "--wave") || style.color;
      context.fillRect(index * step, (height - tall) / 2, Math.max(bar, (group - 1) * step), tall);
    }
    context.fillStyle = style.color;
    context.globalAlpha = 0.35;
    for (const mark of this.marks) if (mark) context.fillRect(mark * step, 0, scale, height);
  }
}
