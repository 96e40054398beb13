"use strict";
// A sound that is computed from its field from the cursor on, and played and drawn meanwhile.

const given = JSON.parse(document.getElementById("document").textContent);
const buffer = base64Bytes(document.getElementById("block").textContent).buffer;
const byId = (id) => document.getElementById(id);
const stage = byId("stage");
const PIECE = 4096; // samples that are computed at once
const pieces = Math.ceil(given.samples / PIECE);
const COLUMNS = 600; // of the spectrogram

// What is shown and heard: samples by channel, which pieces are there, and their spectrogram.
function shownSound() {
  return {
    channels: Array.from({ length: given.channels }, () => new Float32Array(given.samples)),
    known: new Uint8Array(pieces),
    spectrum: new Spectrogram(given.samples, given.rate, COLUMNS),
  };
}

const field = shownSound();
const begun = new Uint8Array(pieces);
let original = null;
let shown = field;
let drawing = false;

function lattice(first, count) {
  const step = given.samples > 1 ? 2 * given.half_range / (given.samples - 1) : 0;
  return { origin: [-given.half_range + step * first], step: [step], counts: [count] };
}

const evaluator = new Evaluator(
  given.network, buffer, lattice(0, Math.min(64, given.samples)));

evaluator.next = () => {
  const here = Math.floor(player.position / PIECE);
  for (let i = 0; i < pieces; i++) {
    const piece = (here + i) % pieces;
    if (begun[piece]) continue;
    begun[piece] = 1;
    const start = piece * PIECE;
    return {
      lattice: lattice(start, Math.min(PIECE, given.samples - start)),
      done: (values) => take(piece, values),
    };
  }
  return null;
};

function take(piece, values) {
  const { channels, scale, offset } = given;
  for (let i = 0; i < values.length; i++) {
    field.channels[i % channels][piece * PIECE + Math.floor(i / channels)] =
      (values[i] - offset) * scale;
  }
  field.known[piece] = 1;
  redraw();
}

const isKnown = (sound) => (start, end) => {
  const last = Math.min(pieces - 1, Math.floor((end - 1) / PIECE));
  for (let piece = Math.max(0, Math.floor(start / PIECE)); piece <= last; piece++) {
    if (!sound.known[piece]) return false;
  }
  return true;
};

const player = new Player({
  rate: given.rate,
  samples: given.samples,
  piece: PIECE,
  read: (start, count) => isKnown(shown)(start, start + count)
    ? shown.channels.map((samples) => samples.subarray(start, start + count)) : null,
  ended: redraw,
});

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    shown.spectrum.update(shown.channels, isKnown(shown));
    shown.spectrum.draw(byId("spectrogram"));
    drawWaveform(byId("waveform"));
    tell();
  });
}

function drawWaveform(canvas) {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.body);
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  const ranges = columnRanges(width);
  let peak = 0;
  for (const range of ranges) if (range) peak = Math.max(peak, -range[0], range[1]);
  const place = (value) => height / 2 - value / (1.06 * peak || 1) * height / 2;
  context.fillStyle = style.getPropertyValue("--line");
  context.fillRect(0, Math.round(height / 2), width, 1);
  context.fillStyle = style.getPropertyValue("--accent");
  ranges.forEach((range, x) => {
    if (!range) return;
    const top = place(range[1]);
    context.fillRect(x, top, 1, Math.max(1, place(range[0]) - top));
  });
}

// The lowest and the highest sample of all channels in each column, null where none is known.
function columnRanges(width) {
  const ranges = Array(width).fill(null);
  for (const samples of shown.channels) {
    for (let x = 0; x < width; x++) {
      const start = Math.floor(x * given.samples / width);
      const end = Math.max(start + 1, Math.floor((x + 1) * given.samples / width));
      if (!isKnown(shown)(start, Math.min(end, given.samples))) continue;
      const range = ranges[x] || [Infinity, -Infinity];
      for (let i = start; i < Math.min(end, given.samples); i++) {
        range[0] = Math.min(range[0], samples[i]);
        range[1] = Math.max(range[1], samples[i]);
      }
      ranges[x] = range;
    }
  }
  return ranges;
}

const seconds = (samples) => (samples / given.rate).toFixed(2);

function tell() {
  const done = field.known.reduce((a, b) => a + b, 0);
  const share = done < pieces ? `computing ${Math.floor(100 * done / pieces)} %, ` : "";
  byId("status").textContent = share + evaluator.describes;
  byId("play").textContent = player.playing ? "Pause" : "Play";
  moveCursor();
}

function moveCursor() {
  const at = player.position;
  byId("cursor").style.left = `${100 * at / given.samples}%`;
  byId("time").textContent = `${seconds(at)} s of ${seconds(given.samples)} s`;
  stage.setAttribute("aria-valuenow", seconds(at));
  stage.setAttribute("aria-valuetext", `${seconds(at)} seconds`);
  if (player.playing) requestAnimationFrame(moveCursor);
}

function playOrPause() {
  if (player.playing) player.stop();
  else player.start(player.position >= given.samples ? 0 : player.position);
  tell();
}

function seek(sample) {
  const at = Math.min(given.samples - 1, Math.max(0, Math.round(sample)));
  if (player.playing) player.start(at);
  else player.at = at;
  evaluator.work();
  tell();
}

function switchSource() {
  if (!original) return;
  shown = shown === field ? original : field;
  byId("source").setAttribute("aria-pressed", String(shown === original));
  if (player.playing) player.start(player.position);
  redraw();
}

// Decoded at the sound's own rate, so that its samples lie where the field's do.
async function readOriginal() {
  const bytes = Uint8Array.from(arrayAt(buffer, given.original)).buffer;
  const offline = new OfflineAudioContext(given.channels, given.samples, given.rate);
  const decoded = await offline.decodeAudioData(bytes);
  original = shownSound();
  original.channels.forEach((samples, c) => {
    samples.set(decoded.getChannelData(c).subarray(0, given.samples));
  });
  original.known.fill(1);
}

function pointAt(event) {
  const box = stage.getBoundingClientRect();
  return { share: (event.clientX - box.left) / box.width, y: event.clientY - box.top, box };
}

let held = false;
stage.addEventListener("pointerdown", (event) => {
  held = true;
  stage.setPointerCapture(event.pointerId);
  seek(pointAt(event).share * given.samples);
});
stage.addEventListener("pointermove", (event) => {
  const { share, y, box } = pointAt(event);
  if (held) seek(share * given.samples);
  const below = (y - box.height / 2) / (box.height / 2);
  const hertz = Math.round((1 - below) * given.rate / 2);
  byId("place").textContent = below >= 0
    ? `${seconds(share * given.samples)} s, ${hertz.toLocaleString("en")} Hz` : "";
});
for (const name of ["pointerup", "pointercancel"]) {
  stage.addEventListener(name, () => { held = false; });
}

const STEP_S = Math.min(1, given.samples / given.rate / 20);
listenToKeys(stage, {
  play: playOrPause, original: switchSource,
  back: () => seek(player.position - STEP_S * given.rate),
  on: () => seek(player.position + STEP_S * given.rate),
  first: () => seek(0), last: () => seek(given.samples - 1),
}, [
  [[" ", "k"], "play", "play or pause"],
  [["ArrowLeft"], "back", `back ${STEP_S.toFixed(1)} s`],
  [["ArrowRight"], "on", `on ${STEP_S.toFixed(1)} s`],
  [["0", "Home"], "first", "to the beginning"], [["End"], "last", "to the end"],
  ...(given.original ? [[["o"], "original", "original or field"]] : []),
]);

function resize() {
  for (const id of ["waveform", "spectrogram"]) {
    const canvas = byId(id);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * (window.devicePixelRatio || 1)));
  }
  redraw();
}

stage.setAttribute("aria-valuemax", seconds(given.samples));
new ResizeObserver(resize).observe(stage);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
if (given.original) readOriginal().catch(() => { byId("source").disabled = true; });
evaluator.ready.then(redraw, (error) => { byId("status").textContent = error.message; });

// For scripts: samples by channel, and which pieces of them are there.
window.nint = {
  player, evaluator, field, seek,
  complete: () => field.known.every((each) => each),
};
