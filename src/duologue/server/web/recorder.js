// The microphone as a file, with a level meter. The browser encodes; the server decodes.
export const LIMIT_SECONDS = 30;

export class Recorder {
  constructor(meter) {
    this.meter = meter;
    this.running = false;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers give the microphone to https pages and to localhost only.");
    }
    try {
      // Noise suppression smears a voice; echo isn't at play while nothing sounds.
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: true },
      });
    } catch (error) {
      const denied = error.name === "NotAllowedError";
      throw new Error(denied ? "The microphone was refused. Allow it beside the address bar, then try again." : "No microphone was found.");
    }
    this.media = new MediaRecorder(this.stream);
    this.parts = [];
    this.media.addEventListener("dataavailable", ({ data }) => this.parts.push(data));
    this.media.start();
    this.running = true;
    this.timer = setTimeout(() => this.media.state === "recording" && this.media.stop(), 1_000 * LIMIT_SECONDS);
    this.watch();
  }

  watch() {
    this.context = new AudioContext();
    const analyser = this.context.createAnalyser();
    this.context.createMediaStreamSource(this.stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = () => {
      if (!this.running) return;
      analyser.getFloatTimeDomainData(samples);
      this.meter.value = Math.sqrt(Math.max(...samples.map(Math.abs)));
      requestAnimationFrame(look);
    };
    look();
  }

  async stop(name) {
    clearTimeout(this.timer);
    if (this.media.state === "recording") {
      const stopped = new Promise((resolve) => { this.media.addEventListener("stop", resolve, { once: true }); });
      this.media.stop();
      await stopped;
    }
    this.running = false;
    this.meter.value = 0;
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context.close();
    return new File(this.parts, name, { type: this.media.mimeType });
  }
}
