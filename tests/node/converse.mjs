// A caller who speaks, listens for a moment, interrupts, and leaves. Prints what the session tells, one JSON a line.
// Usage: node converse.mjs URL KEY RECORDING.pcm (16-bit mono, 24 kHz)
import { readFileSync } from "node:fs";
import { RealtimeAgent, RealtimeSession } from "@openai/agents/realtime";

const [url, apiKey, recording] = process.argv.slice(2);
const say = (kind, about = {}) => console.log(JSON.stringify({ kind, ...about }));
const agent = new RealtimeAgent({ name: "Caller", instructions: "Answer briefly." });
const session = new RealtimeSession(agent, { transport: "websocket", model: "gpt-realtime" });
let sounded = 0;
let answers = 0;
const played = new Promise((resolve) => session.on("audio", ({ data }) => { if ((sounded += data.byteLength) > 24_000) resolve(); }));
const settled = new Promise((resolve) => session.transport.on("conversation.item.truncated", resolve));
const answered = new Promise((resolve) => session.transport.on("turn_done", () => { if (++answers === 2) resolve(); }));
session.on("error", (error) => say("error", { error: JSON.stringify(error) }));
session.on("audio_interrupted", () => say("audio_interrupted"));
session.transport.on("*", (event) => say("event", { type: event.type, status: event.response?.status ?? null }));

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function speak(samples) {
  const piece = 4_800; // 100 ms
  for (let at = 0; at < samples.length; at += piece) {
    session.sendAudio(samples.slice(at, at + piece).buffer);
    await pause(25); // four times as fast as speech
  }
}

const bytes = readFileSync(recording);
const turn = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const silence = new Uint8Array(48_000);
await session.connect({ apiKey, url });
await speak(new Uint8Array(turn));
await speak(silence);
await speak(silence);
await played;
await speak(new Uint8Array(turn));
await settled;
await speak(silence);
await speak(silence);
await answered;
await pause(200); // for the last item to be retrieved
const history = session.history.map(({ role, status, content }) => ({ role, status, text: content.map((part) => part.transcript ?? part.text).join(" ") }));
say("history", { history, usage: session.usage.outputTokens, sounded });
session.close();
