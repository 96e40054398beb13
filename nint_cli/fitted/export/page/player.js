"use strict";
// Plays samples as they become known: short pieces, each scheduled to begin where the last ends.

const AHEAD_S = 0.4;
const MOST_PLAYED = 6; // channels that have a place among speakers

class Player {
  // `read(start, count)` returns arrays of samples, one per channel, or null where they are not
  // known yet; `ended()` is called after the last.
  constructor({ rate, samples, piece, read, ended }) {
    Object.assign(this, { rate, samples, piece, read, ended });
    this.context = null;
    this.pieces = [];
    this.playing = false;
    this.at = 0; // the next sample that is scheduled, or the place where playing begins
  }

  start(sample) {
    this.stop();
    this.context ||= this.#open();
    this.context.resume();
    this.at = sample;
    this.time = this.context.currentTime + 0.05;
    this.begun = sample;
    this.playing = true;
    this.timer = setInterval(() => this.#schedule(), 50);
    this.#schedule();
  }

  stop() {
    if (!this.playing) return;
    const place = this.position;
    clearInterval(this.timer);
    for (const { source } of this.pieces) source.stop();
    this.pieces = [];
    this.playing = false;
    this.at = place;
  }

  get position() {
    if (!this.playing) return this.at;
    const now = this.context.currentTime;
    const current = this.pieces.filter((each) => each.time <= now).pop();
    if (!current) return this.begun;
    const passed = Math.min(current.count, (now - current.time) * this.rate);
    return Math.floor(current.start + passed);
  }

  // At the sound's own rate pieces join without a seam; not every browser has every rate.
  #open() {
    try {
      return new AudioContext({ sampleRate: this.rate });
    } catch {
      return new AudioContext();
    }
  }

  #schedule() {
    const now = this.context.currentTime;
    while (this.at < this.samples && this.time < now + AHEAD_S) {
      const count = Math.min(this.piece, this.samples - this.at);
      const channels = this.read(this.at, count);
      if (!channels) break;
      this.time = Math.max(this.time, now + 0.01);
      this.#play(channels, count);
    }
    const last = this.pieces[this.pieces.length - 1];
    if (this.at >= this.samples && (!last || last.time + last.count / this.rate < now)) {
      this.stop();
      this.at = 0;
      this.ended();
    }
  }

  #play(channels, count) {
    const heard = channels.slice(0, channels.length > MOST_PLAYED ? 2 : channels.length);
    const piece = this.context.createBuffer(heard.length, count, this.rate);
    heard.forEach((samples, c) => piece.copyToChannel(samples, c));
    const source = this.context.createBufferSource();
    source.buffer = piece;
    source.connect(this.context.destination);
    source.start(this.time);
    const now = this.context.currentTime;
    this.pieces = this.pieces.filter((each) => each.time + each.count / this.rate > now - 1);
    this.pieces.push({ source, time: this.time, start: this.at, count });
    this.begun = this.pieces[0].start;
    this.time += count / this.rate;
    this.at += count;
  }
}
