#version 300 es
// A mesh seen along parallel rays; places and normals are shares of their ranges.
in vec3 place;
in vec3 normal;
uniform vec3 centred; // the lower end, with the middle at 0
uniform vec3 span;
uniform mat3 axes; // right, upwards and towards the viewer, as rows
uniform float radius;
uniform vec2 scale;
out vec3 facing;
void main() {
  vec3 seen = (centred + span * place) * axes;
  facing = (2.0 * normal - 1.0) * axes;
  gl_Position = vec4(seen.xy * scale, -seen.z / (1.01 * radius), 1.0);
}
