// The noise that texsyn draws for a seed, number for number: PyTorch's Mersenne Twister and its normal distribution on
// the CPU. So a seed gives the same texture here as `texsyn sample --seed`.

// Of `texsyn.core.ops.seeded_generator`.
const SEED_FACTORS = [0x9e3779b97f4a7c15n, 0xbf58476d1ce4e5b9n];
const LENGTH = 624;
const MIDDLE = 397;

class MersenneTwister {
  constructor(seed) {
    this.state = new Uint32Array(LENGTH);
    this.state[0] = seed;
    for (let n = 1; n < LENGTH; n++) {
      const before = this.state[n - 1] ^ (this.state[n - 1] >>> 30);
      this.state[n] = Math.imul(1812433253, before) + n;
    }
    this.place = LENGTH;
  }

  next() {
    if (this.place === LENGTH) this.renew();
    let y = this.state[this.place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  renew() {
    const s = this.state;
    for (let n = 0; n < LENGTH; n++) {
      const y = (s[n] & 0x80000000) | (s[(n + 1) % LENGTH] & 0x7fffffff);
      s[n] = s[(n + MIDDLE) % LENGTH] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  // In [0, 1), with 24 bits.
  uniform() {
    return (this.next() & 0xffffff) / 0x1000000;
  }
}

// In place: 16 uniform numbers become normal ones, by Box and Muller.
function normalise(values, start) {
  for (let n = start; n < start + 8; n++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[n]));
    const angle = 2 * Math.PI * values[n + 8];
    values[n] = radius * Math.cos(angle);
    values[n + 8] = radius * Math.sin(angle);
  }
}

// `count` standard normal numbers, at least 16, as `torch.randn` draws them.
function normals(twister, count) {
  const values = new Float32Array(count);
  for (let n = 0; n < count; n++) values[n] = twister.uniform();
  for (let start = 0; start + 16 <= count; start += 16) normalise(values, start);
  if (count % 16) {
    for (let n = count - 16; n < count; n++) values[n] = twister.uniform();
    normalise(values, count - 16);
  }
  return values;
}

// `channels * side * side` numbers: noise of a torus, whose rows are drawn from (seed, row).
export function noise(seed, channels, side) {
  const field = new Float32Array(channels * side * side);
  for (let row = 0; row < side; row++) {
    const mixed = (BigInt(seed) * SEED_FACTORS[0] + BigInt(row) * SEED_FACTORS[1]) & 0xffffffffn;
    const values = normals(new MersenneTwister(Number(mixed)), channels * side);
    for (let channel = 0; channel < channels; channel++) {
      field.set(values.subarray(channel * side, (channel + 1) * side), (channel * side + row) * side);
    }
  }
  return field;
}
