"use strict";
// A picture that is computed from its field as it is looked at, beside the original.

const given = JSON.parse(document.getElementById("document").textContent);
const buffer = base64Bytes(document.getElementById("block").textContent).buffer;
const byId = (id) => document.getElementById(id);
const stage = byId("stage");
const canvas = byId("canvas");
const tiles = new Tiles(given);
const view = { x: given.width / 2, y: given.height / 2, zoom: 1, pointer: null };
// `zoom` is screen pixels per pixel of the picture; x and y are what the middle shows.
const check = { ...tiles.lattice(0, 0, 0), counts: [8, 8] };
const evaluator = new Evaluator(given.network, buffer, check);
let original = null;
let drawing = false;

const ratio = () => window.devicePixelRatio || 1;
const wholeZoom = () => Math.min(canvas.width / given.width, canvas.height / given.height);
const levelShown = () => {
  const exact = Math.log2(view.zoom);
  const level = view.zoom < 1 ? Math.ceil(exact - 0.01) : Math.round(exact);
  return Math.min(DEEPEST, Math.max(tiles.coarsest, level));
};
const area = () => ({
  left: view.x - canvas.width / 2 / view.zoom, right: view.x + canvas.width / 2 / view.zoom,
  top: view.y - canvas.height / 2 / view.zoom, bottom: view.y + canvas.height / 2 / view.zoom,
});

evaluator.next = () => {
  const tile = tiles.wanted(area(), levelShown());
  return tile && tiles.job(tile, redraw);
};

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
    tell();
    evaluator.work();
  });
}

function draw() {
  const context = canvas.getContext("2d");
  const { left, top } = area();
  const at = (x, y) => [Math.round((x - left) * view.zoom), Math.round((y - top) * view.zoom)];
  const [x0, y0] = at(0, 0);
  const [x1, y1] = at(given.width, given.height);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.save();
  context.beginPath();
  context.rect(x0, y0, x1 - x0, y1 - y0);
  context.clip();
  if (given.display.alpha) drawChecks(context);
  drawField(context, at);
  if (original) drawOriginal(context, x0, y0, x1, y1);
  context.restore();
}

function drawChecks(context) {
  const size = 8 * ratio();
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#ccc";
  for (let y = 0; y * size < canvas.height; y++) {
    for (let x = y % 2; x * size < canvas.width; x += 2) {
      context.fillRect(x * size, y * size, size, size);
    }
  }
}

function drawField(context, at) {
  const level = levelShown();
  const edge = tiles.edge(level);
  context.imageSmoothingQuality = "high";
  for (const [, x, y] of tiles.within(level, area())) {
    const found = tiles.covering(level, x, y);
    if (!found) continue;
    const { tile, part } = found;
    const [left, top] = at(x * edge, y * edge);
    const [right, bottom] = at((x + 1) * edge, (y + 1) * edge);
    const exact = part.size === TILE && right - left === TILE;
    context.imageSmoothingEnabled = !exact;
    context.drawImage(
      tile.canvas, part.x, part.y, part.size, part.size, left, top, right - left, bottom - top);
  }
}

function drawOriginal(context, x0, y0, x1, y1) {
  const share = byId("compare").value / 100;
  const edge = Math.round(share * canvas.width);
  if (!share) return;
  context.save();
  context.beginPath();
  context.rect(0, 0, edge, canvas.height);
  context.clip();
  if (given.display.alpha) drawChecks(context);
  context.imageSmoothingEnabled = view.zoom < 1;
  context.drawImage(original, x0, y0, x1 - x0, y1 - y0);
  context.restore();
  context.fillStyle = "#000";
  context.fillRect(edge - 1.5 * ratio(), 0, 3 * ratio(), canvas.height);
  context.fillStyle = "#fff";
  context.fillRect(edge - 0.5 * ratio(), 0, ratio(), canvas.height);
}

function tell() {
  const missing = tiles.missing(area(), levelShown());
  const busy = missing ? `computing ${missing} ${missing === 1 ? "tile" : "tiles"}, ` : "";
  byId("status").textContent = busy + evaluator.describes;
  const zoom = view.zoom >= 1000 ? view.zoom.toPrecision(3) : Number(view.zoom.toPrecision(3));
  byId("zoom").textContent = `×${zoom}`;
  byId("hint").textContent = view.zoom > 1.01 ? "beyond the training grid: interpolated" : "";
  byId("place").textContent = view.pointer ? placeText() : "";
}

function placeText() {
  const { left, top } = area();
  const x = left + view.pointer.x * ratio() / view.zoom;
  const y = top + view.pointer.y * ratio() / view.zoom;
  if (x < 0 || y < 0 || x > given.width || y > given.height) return "";
  const digits = Math.min(12, Math.max(0, Math.ceil(Math.log10(view.zoom)) + 1));
  const coord = (pixels, p) =>
    (pixels > 1 ? given.half_range * (2 * (p - 0.5) / (pixels - 1) - 1) : -given.half_range)
      .toFixed(digits + 3);
  return `pixel ${x.toFixed(digits)}, ${y.toFixed(digits)}; ` +
    `coords ${coord(given.height, y)}, ${coord(given.width, x)}`;
}

// Keeps the place under (x, y), CSS pixels of the stage, where it is.
function zoomBy(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const limit = 2 ** DEEPEST;
  const zoom = Math.min(limit, Math.max(Math.min(1, wholeZoom()) / 4, view.zoom * factor));
  const away = [x * ratio() - canvas.width / 2, y * ratio() - canvas.height / 2];
  view.x += away[0] / view.zoom - away[0] / zoom;
  view.y += away[1] / view.zoom - away[1] / zoom;
  view.zoom = zoom;
  keepInside();
  redraw();
}

function panBy(dx, dy) {
  view.x -= dx * ratio() / view.zoom;
  view.y -= dy * ratio() / view.zoom;
  keepInside();
  redraw();
}

function keepInside() {
  view.x = Math.min(given.width, Math.max(0, view.x));
  view.y = Math.min(given.height, Math.max(0, view.y));
}

function fit() {
  Object.assign(view, { x: given.width / 2, y: given.height / 2, zoom: wholeZoom() });
  redraw();
}

function resize() {
  const whole = view.zoom === wholeZoom() || !canvas.resized;
  canvas.width = Math.max(1, Math.round(stage.clientWidth * ratio()));
  canvas.height = Math.max(1, Math.round(stage.clientHeight * ratio()));
  canvas.resized = true;
  if (whole) fit();
  else redraw();
}

function compareAt(share) {
  if (!original) return;
  byId("compare").value = share;
  redraw();
}

const STEP = 80; // CSS pixels
listenToKeys(stage, {
  in: () => zoomBy(2), out: () => zoomBy(0.5), fit,
  pixels: () => zoomBy(1 / view.zoom),
  left: () => panBy(STEP, 0), right: () => panBy(-STEP, 0),
  up: () => panBy(0, STEP), down: () => panBy(0, -STEP),
  original: () => compareAt(original && byId("compare").value < 50 ? 100 : 0),
  less: () => compareAt(Math.max(0, +byId("compare").value - 5)),
  more: () => compareAt(Math.min(100, +byId("compare").value + 5)),
}, [
  [["+", "="], "in", "zoom in"], [["-", "_"], "out", "zoom out"],
  [["0"], "fit", "the whole picture"], [["1"], "pixels", "one pixel on one of the screen"],
  [["ArrowLeft"], "left", "to the left"], [["ArrowRight"], "right", "to the right"],
  [["ArrowUp"], "up", "up"], [["ArrowDown"], "down", "down"],
  ...(given.original ? [
    [["o"], "original", "original or field"],
    [["["], "less", "less of the original"], [["]"], "more", "more of the original"],
  ] : []),
]);
listenToPointers(stage, {
  drag: panBy, zoom: zoomBy,
  hover: (x, y) => { view.pointer = { x, y }; tell(); },
});
if (given.original) {
  byId("compare").addEventListener("input", redraw);
  const file = new Blob([arrayAt(buffer, given.original.bytes)], { type: given.original.kind });
  createImageBitmap(file).then((bitmap) => { original = bitmap; redraw(); });
}
new ResizeObserver(resize).observe(stage);
evaluator.ready.then(redraw, (error) => { byId("status").textContent = error.message; });

// For scripts: RGBA bytes of tile (x, y) of a level, and where the view is.
window.nint = {
  view, fit, zoomBy, panBy, redraw, evaluator,
  tile: (level, x, y) => evaluator.ready.then(() => new Promise((resolve) => {
    const kept = tiles.get(level, x, y);
    if (kept) resolve([...kept.pixels]);
    const { next } = evaluator;
    evaluator.next = () => {
      evaluator.next = next;
      return tiles.job([level, x, y], () => resolve([...tiles.get(level, x, y).pixels]));
    };
    evaluator.work();
  })),
};
