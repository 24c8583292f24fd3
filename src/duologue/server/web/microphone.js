// The microphone as 24 kHz samples, while it is held open. Knows no server.
export class Microphone {
  constructor() { this.blocks = []; }

  // `onlevel` gets 0..1 for every 80 ms.
  async open(onlevel) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers give the microphone to https pages and to localhost only.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: false, autoGainControl: true },
      });
    } catch (error) {
      const denied = error.name === "NotAllowedError";
      throw new Error(denied ? "The microphone was refused. Allow it beside the address bar, then try again." : "No microphone was found.");
    }
    this.context = new AudioContext({ sampleRate: 24000 });
    await this.context.audioWorklet.addModule("/page/microphone-worklet.js");
    const source = this.context.createMediaStreamSource(this.stream);
    this.node = new AudioWorkletNode(this.context, "microphone", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => {
      this.blocks.push(data);
      onlevel(Math.min(1, Math.sqrt(data.reduce((loud, sample) => Math.max(loud, Math.abs(sample)), 0))));
    };
    source.connect(this.node);
  }

  // All that was heard, as 16-bit samples.
  async close() {
    if (this.node) this.node.port.onmessage = null;
    this.stream?.getTracks().forEach((track) => track.stop());
    await this.context?.close();
    const samples = new Int16Array(this.blocks.length * 1920);
    this.blocks.forEach((block, i) => block.forEach((sample, j) => {
      samples[i * 1920 + j] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    }));
    return samples;
  }
}
