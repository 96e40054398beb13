"use strict";
// A thread that evaluates a field on lattices of points, one message each.

let network = null;
let gpu = null;

// The GPU is taken only where it gives what typed arrays give: some round more than they say.
const MOST_APART = 1 / 512;
const LATENCY_MS = 10; // that a call of any GPU may take, however few the points are

async function agreeing(candidate, lattice) {
  const count = lattice.counts.reduce((a, b) => a * b, 1);
  const slow = evaluateNetwork(network, latticeCoords(lattice), count);
  const fast = await evaluateOnGpu(candidate, lattice);
  let size = 1;
  for (const value of slow) size = Math.max(size, Math.abs(value));
  return slow.every((value, i) => Math.abs(value - fast[i]) <= MOST_APART * size);
}

// Where WebGL runs in software, as without a GPU, typed arrays on all cores are faster. Both have
// computed the smaller lattice before, so that neither is timed while it is compiled.
async function isFaster(candidate, lattice) {
  const more = Math.round(4 ** (1 / lattice.counts.length));
  const larger = { ...lattice, counts: lattice.counts.map((count) => more * count) };
  const count = larger.counts.reduce((a, b) => a * b, 1);
  const cores = Math.min(8, navigator.hardwareConcurrency || 2);
  const start = performance.now();
  evaluateNetwork(network, latticeCoords(larger), count);
  const middle = performance.now();
  await evaluateOnGpu(candidate, larger);
  return performance.now() - middle <= (middle - start) / cores + LATENCY_MS;
}

async function begin({ described, buffer, shaders, wanted, check }) {
  network = prepareNetwork(described, buffer);
  let why = wanted === "arrays" ? "not wanted" : "no WebGL 2 with float textures, or a hash grid";
  if (wanted !== "arrays") {
    try {
      gpu = openGpu(network, shaders);
      if (gpu && !(await agreeing(gpu, check))) {
        gpu = null;
        why = "the GPU's results differ";
      } else if (gpu && wanted !== "gpu" && !(await isFaster(gpu, check))) {
        gpu = null;
        why = "the GPU is slower";
      }
    } catch (error) {
      gpu = null;
      why = error.message;
    }
  }
  return { on: gpu ? "gpu" : "arrays", why: gpu ? "" : why };
}

async function evaluated(lattice) {
  if (gpu) {
    try {
      return await evaluateOnGpu(gpu, lattice);
    } catch {
      gpu = null; // as when it is reset; typed arrays go on
    }
  }
  const count = lattice.counts.reduce((a, b) => a * b, 1);
  return evaluateNetwork(network, latticeCoords(lattice), count);
}

self.onmessage = async ({ data }) => {
  if (data.described) {
    self.postMessage({ ready: await begin(data) });
    return;
  }
  const values = await evaluated(data.lattice);
  self.postMessage({ id: data.id, values }, [values.buffer]);
};
