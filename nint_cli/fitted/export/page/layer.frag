#version 300 es
// Four outputs of one layer at one point: x is the point, y the four. W is (inputs, outputs / 4).
precision highp float;
precision highp sampler2D;

uniform sampler2D weight;
uniform sampler2D bias; // (1, outputs / 4)
#ifdef FIRST
uniform ivec3 counts; // of the lattice, last axis fastest
uniform vec3 step_;
uniform int dims;
#else
uniform sampler2D h; // (points, inputs / 4)
uniform int inputs;
#endif
uniform int plain;
uniform float omega;
uniform float narrow;
out vec4 result;

// Turns are taken off in two parts, for sines of hundreds of radians lose digits on many GPUs.
vec4 reduced(vec4 z) {
  vec4 turns = floor(z * 0.15915494309189535 + 0.5);
  return (z - turns * 6.28125) - turns * 0.0019353071795864769;
}

vec4 act(vec4 z, int first) {
#if defined(RELU)
  return max(z, 0.0);
#elif defined(SINE)
  vec4 wave = sin(reduced(z));
  bvec4 kept = lessThan(ivec4(first) + ivec4(0, 1, 2, 3), ivec4(plain));
  return mix(wave, z, vec4(kept));
#elif defined(FINER)
  return sin(reduced(omega * (abs(z) + 1.0) * z));
#elif defined(GAUSS)
  return exp(-z * z);
#elif defined(GABOR)
  vec2 square = narrow * narrow * vec2(dot(z.xy, z.xy), dot(z.zw, z.zw));
  vec2 size = exp(-omega * z.yw - square);
  vec4 phase = reduced(omega * z.xxzz);
  return size.xxyy * vec4(cos(phase.x), sin(phase.y), cos(phase.z), sin(phase.w));
#else
  return z;
#endif
}

void main() {
  int point = int(gl_FragCoord.x);
  int four = int(gl_FragCoord.y);
  vec4 z = texelFetch(bias, ivec2(0, four), 0);
#ifdef FIRST
  int last = point % counts.z;
  int middle = (point / counts.z) % counts.y;
  int far = point / (counts.z * counts.y);
  vec3 offset = step_ * vec3(far, middle, last);
  for (int i = 0; i < dims; i++) z += texelFetch(weight, ivec2(i, four), 0) * offset[i + 3 - dims];
#else
  for (int i = 0; i < inputs; i += 4) {
    vec4 x = texelFetch(h, ivec2(point, i >> 2), 0);
    z += texelFetch(weight, ivec2(i, four), 0) * x.x;
    z += texelFetch(weight, ivec2(i + 1, four), 0) * x.y;
    z += texelFetch(weight, ivec2(i + 2, four), 0) * x.z;
    z += texelFetch(weight, ivec2(i + 3, four), 0) * x.w;
  }
#endif
  result = act(z, 4 * four);
}
