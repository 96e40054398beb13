"use strict";
// A shape: the mesh of its field's zero level, turned and magnified.

const given = JSON.parse(document.getElementById("document").textContent);
const buffer = base64Bytes(document.getElementById("block").textContent).buffer;
const byId = (id) => document.getElementById(id);
const stage = byId("stage");
const canvas = byId("canvas");
const START = { azimuth: 32, elevation: 24, zoom: 1 };
const AROUND = 1.08; // the view's half width by the shape's radius
const view = { ...START };
const textOf = (id) => byId(id).textContent.trim();
const radius = radiusOf(arrayAt(buffer, given.vertices));
let scene = null;
let drawing = false;

function compiled(gl, kind, text) {
  const shader = gl.createShader(kind);
  gl.shaderSource(shader, text);
  gl.compileShader(shader);
  return shader;
}

function open() {
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: true });
  if (!gl) throw new Error("this browser has no WebGL 2");
  const program = gl.createProgram();
  gl.attachShader(program, compiled(gl, gl.VERTEX_SHADER, textOf("shape.vert")));
  gl.attachShader(program, compiled(gl, gl.FRAGMENT_SHADER, textOf("shape.frag")));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    throw new Error(gl.getProgramInfoLog(program) || "the GPU took no shader");
  }
  gl.useProgram(program);
  attribute(gl, program, "place", arrayAt(buffer, given.vertices), gl.UNSIGNED_SHORT);
  attribute(gl, program, "normal", arrayAt(buffer, given.normals), gl.UNSIGNED_BYTE);
  const faces = arrayAt(buffer, given.faces);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  gl.enable(gl.DEPTH_TEST);
  const at = (name) => gl.getUniformLocation(program, name);
  gl.uniform3fv(at("centred"), given.span.map((edge) => -edge / 2));
  gl.uniform3fv(at("span"), given.span);
  gl.uniform1f(at("radius"), radius);
  const type = given.faces.type === "short" ? gl.UNSIGNED_SHORT : gl.UNSIGNED_INT;
  return { gl, at, count: faces.length, type };
}

function attribute(gl, program, name, content, type) {
  const place = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, content, gl.STATIC_DRAW);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, 3, type, true, 0, 0);
}

// How far the farthest vertex is from the middle, around which the shape turns.
function radiusOf(places) {
  let most = 0;
  for (let i = 0; i < places.length; i += 3) {
    let square = 0;
    for (let axis = 0; axis < 3; axis++) {
      square += (given.span[axis] * (places[i + axis] / 65535 - 0.5)) ** 2;
    }
    most = Math.max(most, square);
  }
  return Math.sqrt(most);
}

// The unit vectors to the right, upwards and towards the viewer; `Camera.axes` in Python.
function axes() {
  const around = view.azimuth * Math.PI / 180, above = view.elevation * Math.PI / 180;
  const [s, c, u, h] = [Math.sin(around), Math.cos(around), Math.sin(above), Math.cos(above)];
  return [c, 0, -s, -s * u, h, -c * u, s * h, u, c * h];
}

function draw() {
  const { gl, at, count, type } = scene;
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const least = Math.min(canvas.width, canvas.height) * view.zoom / (AROUND * radius);
  gl.uniformMatrix3fv(at("axes"), false, axes());
  gl.uniform2f(at("scale"), least / canvas.width, least / canvas.height);
  gl.drawElements(gl.TRIANGLES, count, type, 0);
  const turned = ((view.azimuth % 360) + 360) % 360;
  byId("place").textContent =
    `azimuth ${turned.toFixed(0)}°, elevation ${view.elevation.toFixed(0)}°, ` +
    `×${Number(view.zoom.toPrecision(3))}`;
}

function redraw() {
  if (drawing || !scene) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function turn(right, up) {
  view.azimuth -= right;
  view.elevation = Math.min(90, Math.max(-90, view.elevation + up));
  redraw();
}

function zoomBy(factor) {
  view.zoom = Math.min(200, Math.max(0.2, view.zoom * factor));
  redraw();
}

function reset() {
  Object.assign(view, START);
  redraw();
}

function resize() {
  canvas.width = Math.max(1, Math.round(stage.clientWidth * (window.devicePixelRatio || 1)));
  canvas.height = Math.max(1, Math.round(stage.clientHeight * (window.devicePixelRatio || 1)));
  redraw();
}

listenToKeys(stage, {
  in: () => zoomBy(1.25), out: () => zoomBy(0.8), fit: reset,
  left: () => turn(-10, 0), right: () => turn(10, 0), up: () => turn(0, -10), down: () => turn(0, 10),
}, [
  [["+", "="], "in", "larger"], [["-", "_"], "out", "smaller"], [["0"], "fit", "as at first"],
  [["ArrowLeft"], "left", "turn to the left"], [["ArrowRight"], "right", "turn to the right"],
  [["ArrowUp"], "up", "turn upwards"], [["ArrowDown"], "down", "turn downwards"],
]);
listenToPointers(stage, {
  drag: (dx, dy) => turn(dx / 2 / Math.sqrt(view.zoom), dy / 2 / Math.sqrt(view.zoom)),
  zoom: zoomBy,
  hover: () => {},
});
canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); scene = null; });
canvas.addEventListener("webglcontextrestored", () => { scene = open(); redraw(); });
try {
  scene = open();
  byId("status").textContent = `${(scene.count / 3).toLocaleString("en")} triangles`;
} catch (error) {
  byId("status").textContent = error.message;
}
new ResizeObserver(resize).observe(stage);

// For scripts: where it is seen from, and a picture of it as a data URL.
window.nint = { view, turn, zoomBy, reset, picture: () => { draw(); return canvas.toDataURL(); } };
