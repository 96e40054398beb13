"use strict";
// A field in typed arrays: coords to values in double precision. It runs everywhere, and it is
// what gpu.js is held to.
//
// A layer is act(W h + b) with W and b multiplied by its scale beforehand. `plain` outputs of a
// layer of sines are left as they are, which passes coords on beside their octaves. Complex
// numbers lie side by side, real and imaginary part, and multiply as 2 x 2 matrices.

const NETWORK_ROWS = 64; // points that go through all layers at once, to stay in the caches

function prepareNetwork(described, buffer) {
  const layers = described.layers.map((layer) => prepareLayer(layer, buffer));
  const grid = described.grid ? prepareGrid(described.grid, buffer) : null;
  const widest = Math.max(...layers.map((layer) => Math.max(layer.inputs, layer.outputs)));
  return { layers, grid, widest, outputs: layers[layers.length - 1].outputs };
}

function prepareLayer(layer, buffer) {
  let { inputs, outputs } = layer;
  let weight = Float64Array.from(arrayAt(buffer, layer.weight));
  let bias = Float64Array.from(arrayAt(buffer, layer.bias));
  if (layer.numbers) ({ weight, bias, inputs, outputs } = realOfComplex(layer, weight, bias));
  const scale = layer.scale;
  for (let i = 0; i < weight.length; i++) weight[i] *= scale;
  for (let i = 0; i < bias.length; i++) bias[i] *= scale;
  return {
    inputs, outputs, weight, bias, activation: layer.activation,
    plain: layer.plain || 0, omega: layer.omega || 0, narrow: layer.narrow || 0,
  };
}

// The real matrix that does to (re, im, re, im, ...) what a complex one does to the numbers.
function realOfComplex(layer, weight, bias) {
  const fromReal = layer.numbers === "real to complex";
  const toReal = layer.numbers === "complex to real";
  const down = toReal ? 1 : 2;
  const across = fromReal ? 1 : 2;
  const inputs = across * layer.inputs;
  const outputs = down * layer.outputs;
  const found = new Float64Array(inputs * outputs);
  const shift = new Float64Array(outputs);
  for (let o = 0; o < layer.outputs; o++) {
    for (let part = 0; part < down; part++) {
      const row = (down * o + part) * inputs;
      if (fromReal) {
        if (part) continue; // a real number's imaginary part is 0
        shift[down * o] = bias[o];
        for (let i = 0; i < layer.inputs; i++) found[row + i] = weight[o * layer.inputs + i];
        continue;
      }
      shift[down * o + part] = bias[2 * o + part];
      for (let i = 0; i < layer.inputs; i++) {
        const at = 2 * (o * layer.inputs + i);
        found[row + 2 * i] = part ? weight[at + 1] : weight[at];
        found[row + 2 * i + 1] = part ? weight[at] : -weight[at + 1];
      }
    }
  }
  return { weight: found, bias: shift, inputs, outputs };
}

// coords: Float64Array of count x dims. Returns Float32Array of count x outputs.
function evaluateNetwork(network, coords, count) {
  const dims = coords.length / count;
  const result = new Float32Array(count * network.outputs);
  let from = new Float64Array(NETWORK_ROWS * Math.max(network.widest, dims));
  let to = new Float64Array(from.length);
  for (let start = 0; start < count; start += NETWORK_ROWS) {
    const rows = Math.min(NETWORK_ROWS, count - start);
    const part = coords.subarray(start * dims, (start + rows) * dims);
    if (network.grid) gridFeatures(network.grid, part, rows, from);
    else from.set(part);
    for (const layer of network.layers) {
      affine(layer, from, to, rows);
      activate(layer, to, rows);
      [from, to] = [to, from];
    }
    result.set(from.subarray(0, rows * network.outputs), start * network.outputs);
  }
  return result;
}

// Four rows and two outputs at a time share what is read of numbers and weights.
function affine(layer, h, z, rows) {
  const { inputs, outputs, weight, bias } = layer;
  const paired = outputs - outputs % 2;
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const a = row * inputs, b = a + inputs, c = b + inputs, d = c + inputs;
    for (let o = 0; o < paired; o += 2) {
      const first = o * inputs, second = first + inputs;
      let a0 = bias[o], b0 = a0, c0 = a0, d0 = a0;
      let a1 = bias[o + 1], b1 = a1, c1 = a1, d1 = a1;
      for (let i = 0; i < inputs; i++) {
        const v = weight[first + i], w = weight[second + i];
        const ha = h[a + i], hb = h[b + i], hc = h[c + i], hd = h[d + i];
        a0 += v * ha; a1 += w * ha;
        b0 += v * hb; b1 += w * hb;
        c0 += v * hc; c1 += w * hc;
        d0 += v * hd; d1 += w * hd;
      }
      const out = row * outputs + o;
      z[out] = a0; z[out + 1] = a1;
      z[out + outputs] = b0; z[out + outputs + 1] = b1;
      z[out + 2 * outputs] = c0; z[out + 2 * outputs + 1] = c1;
      z[out + 3 * outputs] = d0; z[out + 3 * outputs + 1] = d1;
    }
    affinePart(layer, h, z, row, row + 4, paired);
  }
  affinePart(layer, h, z, row, rows, 0);
}

// What is left over: some rows, the outputs from one on.
function affinePart(layer, h, z, firstRow, lastRow, firstOutput) {
  const { inputs, outputs, weight, bias } = layer;
  for (let row = firstRow; row < lastRow; row++) {
    for (let o = firstOutput; o < outputs; o++) {
      let sum = bias[o];
      for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i] * h[row * inputs + i];
      z[row * outputs + o] = sum;
    }
  }
}

function activate(layer, z, rows) {
  const count = rows * layer.outputs;
  switch (layer.activation) {
    case "linear":
      return;
    case "relu":
      for (let i = 0; i < count; i++) if (!(z[i] > 0)) z[i] = 0;
      return;
    case "sine":
      for (let i = 0; i < count; i++) if (i % layer.outputs >= layer.plain) z[i] = Math.sin(z[i]);
      return;
    case "finer":
      for (let i = 0; i < count; i++) z[i] = Math.sin(layer.omega * (Math.abs(z[i]) + 1) * z[i]);
      return;
    case "gauss":
      for (let i = 0; i < count; i++) z[i] = Math.exp(-z[i] * z[i]);
      return;
    case "gabor":
      for (let i = 0; i < count; i += 2) {
        const re = z[i], im = z[i + 1];
        const square = layer.narrow * layer.narrow * (re * re + im * im);
        const size = Math.exp(-layer.omega * im - square);
        z[i] = size * Math.cos(layer.omega * re);
        z[i + 1] = size * Math.sin(layer.omega * re);
      }
      return;
    default:
      throw new Error(`no activation ${layer.activation}`);
  }
}

// The coords of a lattice of points, last axis fastest: origin + step * index along each axis.
function latticeCoords({ origin, step, counts }) {
  const dims = origin.length;
  const total = counts.reduce((a, b) => a * b, 1);
  const coords = new Float64Array(total * dims);
  for (let p = 0; p < total; p++) {
    let rest = p;
    for (let axis = dims - 1; axis >= 0; axis--) {
      coords[p * dims + axis] = origin[axis] + step[axis] * (rest % counts[axis]);
      rest = Math.floor(rest / counts[axis]);
    }
  }
  return coords;
}
