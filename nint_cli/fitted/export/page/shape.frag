#version 300 es
// Two lights that stay where the viewer is, as preview.png has them.
precision highp float;
in vec3 facing;
out vec4 colour;
void main() {
  vec3 n = normalize(gl_FrontFacing ? facing : -facing);
  vec3 light = vec3(0.22, 0.23, 0.25);
  light += max(0.0, dot(n, normalize(vec3(-0.45, 0.65, 0.62)))) * vec3(0.78, 0.76, 0.72);
  light += max(0.0, dot(n, normalize(vec3(0.80, -0.05, 0.35)))) * vec3(0.16, 0.19, 0.26);
  vec3 surface = gl_FrontFacing ? vec3(0.80, 0.81, 0.83) : vec3(0.75, 0.55, 0.45);
  colour = vec4(pow(clamp(light * surface, 0.0, 1.0), vec3(1.0 / 1.5)), 1.0);
}
