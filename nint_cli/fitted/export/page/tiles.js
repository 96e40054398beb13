"use strict";
// A picture without end: tiles of 64 x 64 points, of which level L has 2^L along a pixel's edge.
// A tile's points are the centres of equal squares, so level 0 has the pixels themselves.

const TILE = 64;
const MOST_TILES = 3000; // that are kept, 16 kB each
const DEEPEST = 40; // levels; beyond, doubles no longer tell neighbours apart

class Tiles {
  constructor({ width, height, half_range, display }) {
    Object.assign(this, { width, height, display });
    this.half = half_range;
    this.kept = new Map();
    this.begun = new Set();
    this.coarsest = -Math.max(0, Math.ceil(Math.log2(Math.max(width, height) / TILE)));
  }

  edge(level) { // of a tile, in pixels of the picture
    return TILE / 2 ** level;
  }

  key(level, x, y) {
    return `${level}/${x}/${y}`;
  }

  get(level, x, y) {
    const key = this.key(level, x, y);
    const found = this.kept.get(key);
    if (found) { // the longest unused is first in the map
      this.kept.delete(key);
      this.kept.set(key, found);
    }
    return found;
  }

  // The points of a tile, as the field's coords: rows, then columns.
  lattice(level, x, y) {
    const axis = (pixels, tile) => {
      const step = pixels > 1 ? 2 * this.half / (pixels - 1) : 0;
      const first = tile * this.edge(level) + 0.5 / 2 ** level - 0.5;
      return { step: step / 2 ** level, origin: -this.half + step * first };
    };
    const row = axis(this.height, y);
    const column = axis(this.width, x);
    return {
      origin: [row.origin, column.origin], step: [row.step, column.step], counts: [TILE, TILE],
    };
  }

  // Tiles of a level that meet a rectangle of the picture, those nearest to its middle first.
  within(level, { left, top, right, bottom }) {
    const edge = this.edge(level);
    const range = (low, high, size) => [
      Math.floor(Math.max(0, low) / edge),
      Math.ceil(Math.min(size, high) / edge) - 1,
    ];
    const [x0, x1] = range(left, right, this.width);
    const [y0, y1] = range(top, bottom, this.height);
    const found = [];
    for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) found.push([level, x, y]);
    const middle = [(left + right) / 2 / edge - 0.5, (top + bottom) / 2 / edge - 0.5];
    const far = ([, x, y]) => Math.hypot(x - middle[0], y - middle[1]);
    return found.sort((one, other) => far(one) - far(other));
  }

  // The next tile to compute for a view: the whole picture, then the view from coarse to fine.
  wanted(view, level) {
    for (const each of this.passes(level)) {
      const area = each === this.coarsest
        ? { left: 0, top: 0, right: this.width, bottom: this.height } : view;
      for (const tile of this.within(each, area)) {
        const key = this.key(...tile);
        if (!this.kept.has(key) && !this.begun.has(key)) return tile;
      }
    }
    return null;
  }

  passes(level) {
    return [...new Set([this.coarsest, level - 4, level - 2, level])]
      .filter((each) => each >= this.coarsest && each <= level);
  }

  missing(view, level) {
    return this.within(level, view).filter((tile) => !this.kept.has(this.key(...tile))).length;
  }

  job(tile, done) {
    const key = this.key(...tile);
    this.begun.add(key);
    return {
      lattice: this.lattice(...tile),
      done: (values) => {
        this.begun.delete(key);
        this.keep(key, tile[0], coloursOf(this.display, values));
        done();
      },
    };
  }

  keep(key, level, pixels) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = TILE;
    canvas.getContext("2d").putImageData(new ImageData(pixels, TILE, TILE), 0, 0);
    this.kept.set(key, { canvas, pixels });
    if (this.kept.size <= MOST_TILES) return;
    for (const old of this.kept.keys()) { // the whole picture stays
      if (old.startsWith(`${this.coarsest}/`)) continue;
      this.kept.delete(old);
      return;
    }
  }

  // The nearest tile that is there for a place, from a level upwards, and the part of it.
  covering(level, x, y) {
    let part = { x: 0, y: 0, size: TILE };
    for (let at = level; at >= this.coarsest; at--) {
      const tile = this.get(at, x, y);
      if (tile) return { tile, part };
      part = {
        x: (part.x + (x % 2 ? TILE : 0)) / 2, y: (part.y + (y % 2 ? TILE : 0)) / 2,
        size: part.size / 2,
      };
      x = Math.floor(x / 2);
      y = Math.floor(y / 2);
    }
    return null;
  }
}
