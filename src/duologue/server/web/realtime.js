// A spoken conversation with the server: its events as DOM events, sound as samples. The wire is OpenAI's Realtime API.
import { currentKey } from "./api.js";

const KEY_PROTOCOL = "openai-insecure-api-key.";

export class Realtime extends EventTarget {
  // Resolves when the session is set up; rejects if the server can't be reached or refuses.
  open(settings) {
    const protocols = ["realtime", ...(currentKey() ? [KEY_PROTOCOL + currentKey()] : [])];
    this.socket = new WebSocket(`${location.origin.replace("http", "ws")}/v1/realtime`, protocols);
    this.socket.addEventListener("message", ({ data }) => {
      const event = JSON.parse(data);
      this.dispatchEvent(new CustomEvent("any", { detail: { event, sent: false } }));
      this.dispatchEvent(new CustomEvent(event.type, { detail: event }));
    });
    this.socket.addEventListener("close", () => this.dispatchEvent(new Event("closed")));
    return new Promise((resolve, reject) => {
      this.addEventListener("session.created", () => this.update(settings), { once: true });
      this.addEventListener("session.updated", () => resolve(this), { once: true });
      this.addEventListener("error", ({ detail }) => reject(Object.assign(new Error(detail.error.message), { code: detail.error.code })), { once: true });
      this.addEventListener("closed", () => reject(new Error("The server closed the conversation.")), { once: true });
    });
  }

  get isOpen() { return this.socket?.readyState === WebSocket.OPEN; }

  update(session) { this.send("session.update", { session: { type: "realtime", ...session } }); }

  send(type, fields = {}) {
    if (!this.isOpen) return;
    this.dispatchEvent(new CustomEvent("any", { detail: { event: { type }, sent: true } }));
    this.socket.send(JSON.stringify({ type, ...fields }));
  }

  // Words instead of sound, as an item of the conversation.
  tell(role, text) {
    const type = role === "assistant" ? "output_text" : "input_text";
    this.send("conversation.item.create", { item: { type: "message", role, content: [{ type, text }] } });
  }

  // Float32Array at 24 kHz, as it comes from the microphone.
  hear(samples) {
    const bytes = new DataView(new ArrayBuffer(2 * samples.length));
    samples.forEach((sample, i) => bytes.setInt16(2 * i, Math.max(-32768, Math.min(32767, Math.round(sample * 32768))), true));
    this.send("input_audio_buffer.append", { audio: btoa(String.fromCharCode(...new Uint8Array(bytes.buffer))) });
  }

  close() { this.socket?.close(); }
}
