"use strict";
// Power over time and frequency: a column per place, by a discrete Fourier transform under a Hann
// window, 80 dB below the loudest being black. As sound_picture in Python has it.

const FLOOR_DB = 80;
const WINDOW_S = 0.04;
const MAGMA = [ // nine of matplotlib's 256 colours, evenly spaced
  [0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122],
  [229, 80, 100], [251, 135, 97], [254, 194, 135], [252, 253, 191],
];

function windowSize(rate, samples) {
  const wanted = 2 ** Math.round(Math.log2(Math.min(4096, Math.max(64, WINDOW_S * rate))));
  return Math.min(wanted, Math.max(8, 2 ** Math.ceil(Math.log2(Math.max(1, samples)))));
}

function magma(share) {
  const at = Math.min(1, Math.max(0, share)) * (MAGMA.length - 1);
  const low = Math.min(MAGMA.length - 2, Math.floor(at));
  return MAGMA[low].map((value, c) => value + (at - low) * (MAGMA[low + 1][c] - value));
}

// In place, of a power of two of complex numbers: Cooley and Tukey, 1965.
function fourier(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const c = Math.cos(-2 * Math.PI * k / size), s = Math.sin(-2 * Math.PI * k / size);
      for (let a = k; a < n; a += size) {
        const b = a + half;
        const x = c * re[b] - s * im[b], y = c * im[b] + s * re[b];
        re[b] = re[a] - x; im[b] = im[a] - y;
        re[a] += x; im[a] += y;
      }
    }
  }
}

// The power of all channels around a sample, for frequencies 0 to half the rate.
function powerAround(channels, centre, size) {
  const total = new Float64Array(size / 2 + 1);
  for (const samples of channels) {
    const re = new Float64Array(size), im = new Float64Array(size);
    for (let i = 0; i < size; i++) {
      const at = centre - size / 2 + i;
      const hann = 0.5 - 0.5 * Math.cos(2 * Math.PI * i / size);
      re[i] = at >= 0 && at < samples.length ? hann * samples[at] : 0;
    }
    fourier(re, im);
    for (let k = 0; k < total.length; k++) total[k] += re[k] * re[k] + im[k] * im[k];
  }
  return total;
}

class Spectrogram {
  constructor(samples, rate, columns) {
    this.samples = samples;
    this.size = windowSize(rate, samples);
    this.columns = Math.max(1, Math.min(columns, Math.floor(samples / (this.size / 4))));
    this.power = Array(this.columns).fill(null);
    this.loudest = 0;
  }

  centre(column) {
    return Math.floor((column + 0.5) * this.samples / this.columns);
  }

  // Computes the columns whose samples are there, as `known(start, end)` says.
  update(channels, known) {
    for (let column = 0; column < this.columns; column++) {
      const at = this.centre(column);
      if (this.power[column] || !known(at - this.size / 2, at + this.size / 2)) continue;
      const power = powerAround(channels, at, this.size);
      this.power[column] = power;
      for (const each of power) this.loudest = Math.max(this.loudest, each);
    }
  }

  draw(canvas) {
    const rows = this.size / 2 + 1;
    const picture = new ImageData(this.columns, rows);
    const top = this.loudest || 1;
    this.power.forEach((power, column) => {
      if (!power) return;
      for (let row = 0; row < rows; row++) {
        const db = 10 * Math.log10(Math.max(power[row] / top, 10 ** (-FLOOR_DB / 10)));
        const at = 4 * ((rows - 1 - row) * this.columns + column);
        picture.data.set([...magma(1 + db / FLOOR_DB), 255], at);
      }
    });
    const small = document.createElement("canvas");
    small.width = this.columns;
    small.height = rows;
    small.getContext("2d").putImageData(picture, 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = true;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }
}
