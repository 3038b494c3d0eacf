/** A generator of 32-bit numbers from a seed (xorshift): the same seed, the same mutations. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const INTERESTING = [0, 1, 2, 3, 4, 0x7f, 0x80, 0xfe, 0xff];

/**
 * Changes that find faults in readers of lengths and counts: flipped bits, telling octets, runs of them, integers near a
 * limit, truncation, a part copied over another, and a splice with another datagram. Written into `scratch`, a view of
 * which is returned, so that millions of them make no garbage.
 */
export function mutate(
  original: Uint8Array,
  other: Uint8Array,
  random: (below: number) => number,
  scratch: Uint8Array,
): Uint8Array {
  let length = Math.min(original.length, scratch.length);
  scratch.set(original.subarray(0, length));
  for (let changes = 1 + random(6); changes > 0 && length > 0; changes--) {
    const at = random(length);
    switch (random(8)) {
      case 0:
        scratch[at] = (scratch[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        scratch[at] = INTERESTING[random(INTERESTING.length)] ?? 0;
        break;
      case 2:
        scratch.fill(INTERESTING[random(INTERESTING.length)] ?? 0, at, Math.min(length, at + 1 + random(8)));
        break;
      case 3: {
        // A 16-bit length or id at an even place.
        const even = at & ~1;
        scratch[even] = random(256);
        if (even + 1 < length) scratch[even + 1] = random(4) === 0 ? random(256) : 0;
        break;
      }
      case 4:
        length = at;
        break;
      case 5:
        scratch.copyWithin(at, random(length), length);
        break;
      case 6: {
        const from = random(Math.max(1, other.length));
        const part = other.subarray(from, from + Math.min(length - at, 1 + random(64)));
        scratch.set(part, at);
        break;
      }
      default: {
        // Cut at a multiple of 4, where submessages and parameters begin.
        const cut = at & ~3;
        const rest = other.subarray(random(Math.max(1, other.length)) & ~3).subarray(0, scratch.length - cut);
        scratch.set(rest, cut);
        length = cut + rest.length;
      }
    }
  }
  return scratch.subarray(0, length);
}
