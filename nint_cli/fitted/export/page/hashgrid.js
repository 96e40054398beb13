"use strict";
// The features of a multiresolution hash grid, as hashgrid.py interpolates them.

function prepareGrid(described, buffer) {
  return { ...described, table: arrayAt(buffer, described.table) };
}

// Writes rows x (levels x features) numbers into `out`.
function gridFeatures(grid, coords, rows, out) {
  const dims = coords.length / rows;
  const levels = grid.starts.length;
  const width = levels * grid.features;
  const low = new Int32Array(dims);
  const inside = new Float64Array(dims);
  for (let row = 0; row < rows; row++) {
    for (let level = 0; level < levels; level++) {
      const at = row * width + level * grid.features;
      locate(grid, level, coords, row * dims, low, inside);
      interpolate(grid, level, low, inside, out, at);
    }
  }
}

// Finds the lower corner of the cell of a point on a level, and where in the cell it is.
function locate(grid, level, coords, at, low, inside) {
  const reach = grid.half_range;
  for (let axis = 0; axis < low.length; axis++) {
    const cells = grid.cells[level][axis];
    const along = Math.min(reach, Math.max(-reach, coords[at + axis]));
    const position = (along + reach) * (cells / (2 * reach));
    low[axis] = Math.min(Math.floor(position), cells - 1);
    inside[axis] = position - low[axis];
  }
}

function interpolate(grid, level, low, inside, out, at) {
  const { features, table } = grid;
  out.fill(0, at, at + features);
  for (let corner = 0; corner < 1 << low.length; corner++) {
    let weight = 1;
    let row = 0;
    for (let axis = 0; axis < low.length; axis++) {
      const upper = (corner >> axis) & 1;
      weight *= upper ? inside[axis] : 1 - inside[axis];
      const term = Math.imul(low[axis] + upper, grid.factors[level][axis]);
      row = level < grid.dense ? row + term : row ^ term;
    }
    if (level >= grid.dense) row &= grid.entries - 1;
    const from = (row + grid.starts[level]) * features;
    for (let f = 0; f < features; f++) out[at + f] += weight * table[from + f];
  }
}
