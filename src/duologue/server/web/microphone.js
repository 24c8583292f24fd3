// The microphone as 24 kHz samples, while it is held open. Knows no server.
export class Microphone {
  // For every 80 ms, `onlevel` gets 0..1 and `onblock` the samples.
  async open({ device = "", headphones = false }, onlevel, onblock) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers give the microphone to https pages and to localhost only.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: !headphones, noiseSuppression: false, autoGainControl: true, ...(device && { deviceId: { exact: device } }) },
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
      this.blocks = (this.blocks ?? 0) + 1;
      onblock(data);
      onlevel(Math.min(1, Math.sqrt(data.reduce((loud, sample) => Math.max(loud, Math.abs(sample)), 0))));
    };
    source.connect(this.node);
  }

  // Returns for how many seconds it was heard.
  async close() {
    if (this.node) this.node.port.onmessage = null;
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context?.state !== "closed") await this.context?.close();
    return (this.blocks ?? 0) * 0.08;
  }
}
