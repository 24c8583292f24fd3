// One performance: speech that plays and draws itself while it is made, and can be stopped at any moment.
import { speak } from "./api.js";
import { Playback, unlock } from "./player.js";

export class Performance {
  constructor(wave) {
    this.wave = wave;
    this.chunks = [];
    this.samples = 0;
    this.firstMs = null;
    this.abort = new AbortController();
  }

  async open() {
    await unlock();
    this.abort.signal.throwIfAborted(); // stopped before there was anything to stop
    this.wave.clear();
    this.playback = new Playback();
    this.playback.addEventListener("progress", () => {
      this.wave.seek(this.playback.played);
      this.onplayed?.(this.playback.played);
    });
  }

  // Take in one request's speech; resolves when the server has sent all of it.
  async add(path, request) {
    const began = performance.now();
    this.wave.mark();
    const waiting = setInterval(() => this.tellQueue(), 1_000);
    try {
      return await this.take(path, request, began);
    } catch (error) {
      this.playback.end(); // what came is heard, and then its player goes
      throw error;
    } finally {
      clearInterval(waiting);
      this.makingMs = (this.makingMs ?? 0) + performance.now() - began;
    }
  }

  // Nothing yet: perhaps others speak, and how many wait.
  async tellQueue() {
    if (this.firstMs !== null || this.abort.signal.aborted) return;
    const { speaking, waiting, capacity } = await fetch("/ready").then((answer) => answer.json()).catch(() => ({}));
    if (this.firstMs === null && waiting) this.onwait?.(`${speaking} of ${capacity} voices speak; ${waiting} in line, you among them.`);
  }

  async take(path, request, began) {
    let headers = null;
    const about = (given) => { headers = given; };
    const { onwords, onspoken, abort: { signal } } = this;
    for await (const chunk of speak(path, request, { signal, about, onwords, onspoken })) {
      this.firstMs ??= performance.now() - began;
      this.playback.push(chunk);
      this.wave.add(chunk);
      this.chunks.push(chunk);
      this.samples += chunk.length;
      this.onchunk?.();
    }
    return headers;
  }

  async finish() {
    this.playback.end();
    await this.playback.finished;
  }

  stop() {
    this.abort.abort();
    this.playback?.stop();
  }

  get seconds() { return this.samples / 24000; }

  figures() {
    const shown = [];
    if (this.firstMs !== null) shown.push(`first sound after ${Math.round(this.firstMs)} ms`);
    if (this.samples) shown.push(`${this.seconds.toFixed(1)} s of speech`);
    if (this.makingMs && this.samples) shown.push(`${(this.makingMs / 1000 / this.seconds).toFixed(2)} × real time to make`);
    if (this.playback?.dry) shown.push(`waited ${this.playback.dry} × for sound`);
    return shown;
  }
}

export function showFigures(element, shown) {
  element.replaceChildren(...shown.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
}
