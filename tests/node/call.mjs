// A caller whose agent has a function: it speaks, the function is called, the answer says what it gave.
// Usage: node call.mjs URL KEY RECORDING.pcm (16-bit mono, 24 kHz)
import { readFileSync } from "node:fs";
import { RealtimeAgent, RealtimeSession, tool } from "@openai/agents/realtime";

const [url, apiKey, recording] = process.argv.slice(2);
const say = (kind, about = {}) => console.log(JSON.stringify({ kind, ...about }));
const weather = tool({
  name: "weather",
  description: "The weather in a city.",
  strict: false,
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: true },
  execute: async ({ city }) => { say("called", { city }); return `sunny in ${city}`; },
});
const agent = new RealtimeAgent({ name: "Caller", instructions: "Answer briefly.", tools: [weather] });
const session = new RealtimeSession(agent, { transport: "websocket", model: "gpt-realtime" });
let answers = 0;
const answered = new Promise((resolve) => session.transport.on("turn_done", () => { if (++answers === 2) resolve(); }));
session.on("error", (error) => say("error", { error: JSON.stringify(error) }));

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const bytes = readFileSync(recording);
await session.connect({ apiKey, url });
for (const turn of [bytes, Buffer.alloc(48_000), Buffer.alloc(48_000)]) {
  for (let at = 0; at < turn.length; at += 4_800) {
    const piece = turn.subarray(at, at + 4_800);
    session.sendAudio(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.byteLength));
    await pause(25); // four times as fast as speech
  }
}
await answered;
await pause(200); // for the last item to come
const texts = session.history.filter((item) => item.type === "message").map(({ content }) => content.map((part) => part.transcript ?? part.text).join(" "));
say("history", { texts, calls: session.history.filter((item) => item.type === "function_call").length });
session.close();
process.exit(0);
