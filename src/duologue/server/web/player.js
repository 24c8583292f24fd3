// One context for the page; one playback at a time. Knows samples, not requests.
const RATE = 24000;
let context = null;
let ready = null;
let output = ""; // a device's id; empty for the usual one

export const canChooseOutput = "setSinkId" in (globalThis.AudioContext?.prototype ?? {});

// Call from a tap or a key: browsers let sound start only there.
export async function unlock() {
  context ??= new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
  ready ??= context.audioWorklet.addModule("/page/player-worklet.js");
  await ready;
  await sendToOutput().catch(() => chooseOutput("")); // unplugged since it was chosen
  if (context.state === "suspended") await context.resume();
}

// Everything that sounds goes to this device from now on. Rejects if it can't be used.
export async function chooseOutput(device) {
  output = device;
  await sendToOutput();
}

async function sendToOutput() {
  if (context && canChooseOutput && context.sinkId !== output) await context.setSinkId(output);
}

export class Playback extends EventTarget {
  constructor() {
    super();
    this.played = 0;
    this.dry = 0;
    this.finished = new Promise((resolve) => { this.resolve = resolve; });
    this.node = new AudioWorkletNode(context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.gain = new GainNode(context);
    this.ear = new AnalyserNode(context, { fftSize: 1024 });
    this.node.connect(this.gain).connect(context.destination);
    this.gain.connect(this.ear);
    this.node.port.onmessage = ({ data }) => {
      this.played = data.played;
      this.dry = data.dry;
      this.dispatchEvent(new Event("progress"));
      if (data.done) this.close();
    };
  }

  // How loud it is now, 0..1.
  get level() {
    const samples = new Float32Array(this.ear.fftSize);
    this.ear.getFloatTimeDomainData(samples);
    return Math.min(1, Math.sqrt(samples.reduce((loud, sample) => Math.max(loud, Math.abs(sample)), 0)));
  }

  push(samples) { this.node.port.postMessage({ samples: samples.slice() }); }

  end() { this.node.port.postMessage({ end: true }); }

  // Fade over 15 ms, so that stopping doesn't click.
  stop() {
    this.gain.gain.setTargetAtTime(0, context.currentTime, 0.005);
    setTimeout(() => this.close(), 30);
  }

  close() {
    this.node.port.onmessage = null;
    this.node.port.postMessage({ stop: true });
    this.node.disconnect();
    this.gain.disconnect();
    this.resolve();
  }
}

export async function play(samples) {
  await unlock();
  const playback = new Playback();
  playback.push(samples);
  playback.end();
  return playback;
}
