/* The thread that separates: ONNX Runtime, the models, one song at a time.
 *
 * In: {pcm, samples, isMono}. Out: {kind: "loading" | "separating", share}, {kind: "block", stems},
 * {kind: "done", nullDepthDb}, {kind: "failed", reason}. Ending the thread cancels.
 */
import * as ort from "./ort.wasm.min.mjs";
import { Chain, Windowed, windowsOf } from "./separation.js";
import { fieldOf, framesOf, hann, StereoField } from "./stereo.js";

const BLOCK_S = 10;
const MOST_THREADS = 8;
const FRAMES_AT_ONCE = 64;

let loading = null;

async function load() {
  const facts = await (await get("model.json")).json();
  // Threads share memory, which browsers allow only to isolated pages.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  ort.env.logLevel = "error";
  const total = facts.members.reduce((sum, member) => sum + member.bytes, 0);
  let loaded = 0;
  const sessions = [];
  for (const member of facts.members) {
    const bytes = await fetched(member, (count) => postMessage({ kind: "loading", share: (loaded += count) / total }));
    sessions.push(await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }));
  }
  const spectra = await ort.InferenceSession.create(new Uint8Array(await (await get(facts.spectra)).arrayBuffer()));
  return { facts, sessions, spectra };
}

async function get(name) {
  let answer = null;
  try {
    answer = await fetch(new URL(name, self.location));
  } catch (error) {
    // the same as one that says no
  }
  if (!answer || !answer.ok) throw new Error(`${name} cannot be loaded: keep the page's folder together.`);
  return answer;
}

/* A file, whose size must be the one in model.json: a truncated one would not run. */
async function fetched({ file, bytes }, received) {
  const all = new Uint8Array(bytes);
  const reader = (await get(file)).body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length <= bytes) all.set(value, at);
    at += value.length;
    received(value.length);
  }
  if (at !== bytes) throw new Error(`${file} has ${at} bytes instead of ${bytes}: export the page again.`);
  return all;
}

/** Promise of [left, right] of a stretch of the song. */
async function read(pcm, from, to) {
  const both = new Float32Array(await pcm.slice(8 * from, 8 * to).arrayBuffer());
  const [left, right] = [new Float32Array(to - from), new Float32Array(to - from)];
  for (let n = 0; n < left.length; n++) {
    left[n] = both[2 * n];
    right[n] = both[2 * n + 1];
  }
  return [left, right];
}

async function measure({ pcm, samples, isMono }, { facts, spectra }) {
  if (isMono) return StereoField.mono();
  const { size, starts } = framesOf(samples, facts.sampleRate);
  const window = hann(Math.min(size, samples), size);
  const bins = size / 2 + 1;
  const frames = [];
  for (let first = 0; first < starts.length; first += FRAMES_AT_ONCE) {
    const some = starts.slice(first, first + FRAMES_AT_ONCE);
    const x = new Float32Array(2 * some.length * size);
    for (const [n, start] of some.entries()) {
      const block = await read(pcm, start, Math.min(samples, start + size));
      block.forEach((channel, c) => channel.forEach((value, i) => (x[(2 * n + c) * size + i] = value * window[i])));
    }
    const { spectrum } = await spectra.run({ frames: new ort.Tensor("float32", x, [2 * some.length, size, 1]) });
    const one = (n) => spectrum.data.subarray(2 * bins * n, 2 * bins * (n + 1));
    some.forEach((_, n) => frames.push([one(2 * n), one(2 * n + 1)]));
  }
  return fieldOf(frames, size, facts.sampleRate);
}

/* A model as partita exports it: "mixture" [1, 2, samples], some also "side" → "estimates". */
function runOf(session, sources, side, count) {
  return async (block) => {
    const { length } = block[0];
    const mixture = new Float32Array(2 * length);
    block.forEach((samples, channel) => mixture.set(samples, channel * length));
    const feeds = { mixture: new ort.Tensor("float32", mixture, [1, 2, length]) };
    if (session.inputNames.includes("side")) feeds.side = new ort.Tensor("float32", [side], [1]);
    const { estimates } = await session.run(feeds);
    count();
    const channel = (n) => estimates.data.slice(n * length, (n + 1) * length);
    return sources.map((_, n) => [channel(2 * n), channel(2 * n + 1)]);
  };
}

async function separate(song, models) {
  const { facts, sessions } = models;
  const field = await measure(song, models);
  const groups = field.isPanned ? 2 : 1;
  // Windows of one model take equally long, and longer ones longer.
  const work = groups * facts.members.reduce((sum, { window }) => sum + window.length * windowsOf(song.samples, window), 0);
  let done = 0;
  const estimatorOf = () =>
    facts.members
      .map(({ sources, window, taken }, n) => {
        const count = () => postMessage({ kind: "separating", share: (done += window.length) / work });
        return { taken, model: new Windowed(sources, window, runOf(sessions[n], sources, field.side, count)) };
      })
      .reduce((joined, { taken, model }) => (joined ? new Chain(joined, model, taken) : model), null);
  const estimators = Array.from({ length: groups }, estimatorOf);
  let [mixtureEnergy, residualEnergy] = [0, 0];
  let at = 0; // how many samples are separated
  const step = BLOCK_S * facts.sampleRate;
  for (let from = 0; from < song.samples; from += step) {
    const to = Math.min(song.samples, from + step);
    const blocks = field.apply(await read(song.pcm, from, to));
    const found = [];
    for (const [n, block] of blocks.entries()) found.push(await estimators[n].push(block, to === song.samples));
    const stems = facts.sources.map((name) => field.undo(found.map((each) => each[estimators[0].sources.indexOf(name)])));
    const count = stems[0][0].length;
    const mixture = await read(song.pcm, at, at + count);
    at += count;
    mixture.forEach((samples, channel) => {
      for (let n = 0; n < count; n++) {
        const residual = stems.reduce((left, stem) => left - stem[channel][n], samples[n]);
        mixtureEnergy += samples[n] ** 2;
        residualEnergy += residual ** 2;
      }
    });
    if (count) postMessage({ kind: "block", stems }, stems.flat().map((samples) => samples.buffer));
  }
  const nullDepthDb = residualEnergy && mixtureEnergy ? 10 * Math.log10(residualEnergy / mixtureEnergy) : null;
  postMessage({ kind: "done", nullDepthDb });
}

onmessage = async ({ data: song }) => {
  try {
    loading ||= load();
    await separate(song, await loading);
  } catch (error) {
    loading = null;
    postMessage({ kind: "failed", reason: reasonOf(error) });
  }
};

/* ONNX Runtime says what it lacks in many words, and numbers of C++ exceptions. */
function reasonOf(error) {
  const said = error instanceof Error ? error.message : String(error);
  if (/memory|allocat/i.test(said) || error instanceof RangeError || /^\d+$/.test(said)) {
    return "The browser's memory does not suffice: close other pages, or take a shorter song.";
  }
  if (/^\S+ (cannot be loaded|has \d+ bytes)/.test(said)) return said;
  return `The browser cannot run the model: ${said.split("\n")[0].slice(0, 300)}`;
}
