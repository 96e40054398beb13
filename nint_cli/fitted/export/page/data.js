"use strict";
// What a page carries beside its scripts: JSON, and one block of bytes that it names arrays of.

function base64Bytes(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// IEEE 754 half precision: 1 bit of sign, 5 of exponent, 10 of fraction.
function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// `where` has type, offset and count, as packing.py writes them.
function arrayAt(buffer, where) {
  const { type, offset, count } = where;
  switch (type) {
    case "float": return new Float32Array(buffer, offset, count);
    case "short": return new Uint16Array(buffer, offset, count);
    case "int": return new Uint32Array(buffer, offset, count);
    case "byte": return new Uint8Array(buffer, offset, count);
    case "half": return Float32Array.from(new Uint16Array(buffer, offset, count), halfToNumber);
    default: throw new Error(`no array of type ${type}`);
  }
}
