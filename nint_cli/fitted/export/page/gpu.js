"use strict";
// A chain of layers on the GPU by WebGL 2: a pass per layer over textures of 32-bit floats.
//
// The first layer is W (c + d) + b for points c + d of a lattice that begins at c. W c + b is
// computed here in double precision, and of sines whole turns are taken off, so that neighbours
// differ however near they are: the lattice of a picture that is magnified a million times works.

const GPU_POINTS = 4096; // of a lattice, at most: the least width of a texture that GPUs have

function openGpu(network, shaders) {
  if (network.grid || typeof OffscreenCanvas === "undefined") return null;
  const canvas = new OffscreenCanvas(1, 1);
  const gl = canvas.getContext("webgl2", { antialias: false, powerPreference: "high-performance" });
  if (!gl || !gl.getExtension("EXT_color_buffer_float")) return null;
  const most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
  if (most < Math.max(GPU_POINTS, padded(network.widest))) return null;
  const textures = [0, 1].map(() =>
    floatTexture(gl, GPU_POINTS, padded(network.widest) / 4, null));
  const layers = network.layers.map((layer, index) => gpuLayer(gl, layer, index === 0, shaders));
  return { gl, layers, textures, frame: gl.createFramebuffer(), outputs: network.outputs };
}

const padded = (count) => 4 * Math.ceil(count / 4);

function floatTexture(gl, width, height, content) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
    gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
  }
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, content);
  return texture;
}

function gpuLayer(gl, layer, first, shaders) {
  const across = first ? layer.inputs : padded(layer.inputs);
  const fours = padded(layer.outputs) / 4;
  const weight = new Float32Array(across * 4 * fours);
  for (let o = 0; o < layer.outputs; o++) {
    for (let i = 0; i < layer.inputs; i++) {
      weight[((o >> 2) * across + i) * 4 + (o & 3)] = layer.weight[o * layer.inputs + i];
    }
  }
  const bias = new Float32Array(4 * fours);
  bias.set(layer.bias);
  const program = layerProgram(gl, layer, first, shaders);
  return {
    layer, first, fours, program,
    weight: floatTexture(gl, across, fours, weight),
    bias: floatTexture(gl, 1, fours, bias),
    at: (name) => gl.getUniformLocation(program, name),
  };
}

function layerProgram(gl, layer, first, shaders) {
  const defines = `#define ${layer.activation.toUpperCase()}\n${first ? "#define FIRST\n" : ""}`;
  const [version, ...rest] = shaders["layer.frag"].split("\n");
  return linkedProgram(gl, shaders["layer.vert"], [version, defines, ...rest].join("\n"));
}

function linkedProgram(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    const logs = gl.getAttachedShaders(program).map((each) => gl.getShaderInfoLog(each));
    throw new Error(["shader:", ...logs, gl.getProgramInfoLog(program)].join(" "));
  }
  return program;
}

// Values (points x outputs) of a lattice of up to GPU_POINTS points, one call after the other.
async function evaluateOnGpu(gpu, lattice) {
  const { gl } = gpu;
  const points = lattice.counts.reduce((a, b) => a * b, 1);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gpu.frame);
  let from = 0;
  for (const each of gpu.layers) {
    const target = gpu.textures[1 - from];
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
    gl.viewport(0, 0, points, each.fours);
    gl.useProgram(each.program);
    bindTexture(gl, each, "weight", 0, each.weight);
    bindTexture(gl, each, "bias", 1, each.bias);
    if (each.first) setLattice(gl, each, lattice);
    else {
      bindTexture(gl, each, "h", 2, gpu.textures[from]);
      gl.uniform1i(each.at("inputs"), padded(each.layer.inputs));
    }
    gl.uniform1i(each.at("plain"), each.layer.plain);
    gl.uniform1f(each.at("omega"), each.layer.omega);
    gl.uniform1f(each.at("narrow"), each.layer.narrow);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    from = 1 - from;
  }
  return readValues(gl, points, gpu.outputs);
}

function bindTexture(gl, layer, name, unit, texture) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.uniform1i(layer.at(name), unit);
}

function setLattice(gl, each, { origin, step, counts }) {
  const { layer } = each;
  const shifted = new Float32Array(4 * each.fours);
  for (let o = 0; o < layer.outputs; o++) {
    let sum = layer.bias[o];
    for (let i = 0; i < layer.inputs; i++) sum += layer.weight[o * layer.inputs + i] * origin[i];
    const turns = layer.activation === "sine" && o >= layer.plain;
    shifted[o] = turns ? sum - 2 * Math.PI * Math.round(sum / (2 * Math.PI)) : sum;
  }
  gl.activeTexture(gl.TEXTURE1);
  gl.bindTexture(gl.TEXTURE_2D, each.bias);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 1, each.fours, gl.RGBA, gl.FLOAT, shifted);
  const fill = 3 - origin.length;
  gl.uniform3iv(each.at("counts"), [...Array(fill).fill(1), ...counts]);
  gl.uniform3fv(each.at("step_"), [...Array(fill).fill(0), ...step]);
  gl.uniform1i(each.at("dims"), origin.length);
}

// The target has four outputs per texel, a row of points for each four. It is copied when the GPU
// comes to that, which stops nobody.
async function readValues(gl, points, outputs) {
  const fours = padded(outputs) / 4;
  const texels = new Float32Array(points * 4 * fours);
  const copy = gl.createBuffer();
  gl.bindBuffer(gl.PIXEL_PACK_BUFFER, copy);
  gl.bufferData(gl.PIXEL_PACK_BUFFER, texels.byteLength, gl.STREAM_READ);
  gl.readPixels(0, 0, points, fours, gl.RGBA, gl.FLOAT, 0);
  await finished(gl);
  gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, texels);
  gl.deleteBuffer(copy);
  if (gl.isContextLost() || gl.getError()) throw new Error("the GPU gave up");
  const found = new Float32Array(points * outputs);
  for (let p = 0; p < points; p++) {
    for (let o = 0; o < outputs; o++) {
      found[p * outputs + o] = texels[((o >> 2) * points + p) * 4 + (o & 3)];
    }
  }
  return found;
}

async function finished(gl) {
  const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
  gl.flush();
  for (;;) {
    const state = gl.clientWaitSync(fence, 0, 0);
    if (state === gl.WAIT_FAILED || gl.isContextLost()) throw new Error("the GPU gave up");
    if (state !== gl.TIMEOUT_EXPIRED) break;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  gl.deleteSync(fence);
}
