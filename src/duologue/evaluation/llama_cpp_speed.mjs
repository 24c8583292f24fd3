// Times llama.cpp's kernels on two Llama-shaped networks: one token of the first, then 31 of the second, as one CSM frame.
// Run by speed_peers.py: node llama_cpp_speed.mjs BACKBONE.gguf DEPTH.gguf THREADS; a line of JSON for each line read.
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";
import readline from "node:readline";
import path from "node:path";

const [backboneFile, depthFile, threads, folder] = process.argv.slice(2);
const found = createRequire(path.join(folder, "index.js")).resolve("node-llama-cpp");
const {getLlama} = await import(pathToFileURL(found).href);
const llama = await getLlama({gpu: false, build: "never", maxThreads: Number(threads), logLevel: "disabled"});

async function open(file, contextSize, batchSize) {
    const model = await llama.loadModel({modelPath: file});
    const context = await model.createContext({contextSize, batchSize, threads: {ideal: Number(threads), min: Number(threads)}});
    return context.getSequence();
}

const backbone = await open(backboneFile, 2048, 512), depth = await open(depthFile, 64, 32);
await backbone.evaluateWithoutGeneratingNewTokens(Array.from({length: 300}, (_, i) => 3 + i));
console.log(JSON.stringify({ready: true}));

for await (const line of readline.createInterface({input: process.stdin})) {
    const frames = Number(line), times = [];
    for (let frame = 0; frame < frames; frame++) {
        const start = performance.now();
        await backbone.evaluateWithoutGeneratingNewTokens([5 + frame]);
        const middle = performance.now();
        await depth.clearHistory();
        for (let book = 0; book < 31; book++) await depth.evaluateWithoutGeneratingNewTokens([7 + book]);
        times.push([middle - start, performance.now() - middle]);
    }
    console.log(JSON.stringify({times}));
}
process.exit(0);
