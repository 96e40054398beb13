"use strict";
// How predicted values become colours on the screen: the same steps as to_pixels, as_seen and
// whole_range in Python, which reconstruction.png is made by.

function srgbEncoded(light) {
  return light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055;
}

// The share of full brightness of one predicted value.
function shareShown(display, value) {
  const clamped = Math.min(1, Math.max(0, value)); // NaN stays, and is shown as 0
  if (!display.whole && display.exposure === null) return clamped;
  const stored = clamped * display.span + display.low;
  if (display.whole) return Math.round(stored) / display.maximum;
  const exposed = Math.max(0, stored) * display.exposure;
  return srgbEncoded(exposed / (1 + exposed));
}

// RGBA bytes of count x channels values.
function coloursOf(display, values) {
  const { channels, colours, alpha } = display;
  const count = values.length / channels;
  const pixels = new Uint8ClampedArray(4 * count);
  for (let p = 0; p < count; p++) {
    for (let c = 0; c < 3; c++) {
      const value = values[p * channels + (colours === 3 ? c : 0)];
      pixels[4 * p + c] = Math.round(255 * shareShown(display, value));
    }
    pixels[4 * p + 3] = alpha
      ? Math.round(255 * shareShown(display, values[p * channels + colours]))
      : 255;
  }
  return pixels;
}
