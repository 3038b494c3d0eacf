/*
 * The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 */

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** Sum of 16-bit words; an odd last byte is padded with zero. */
function wordSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  return sum;
}

/** The checksum of several pieces, each but the last of even length. 0 over data that carries its right checksum. */
export function checksum(...pieces: readonly Uint8Array[]): number {
  return ~fold(pieces.reduce((sum, piece) => sum + wordSum(piece), 0)) & 0xffff;
}

/** The checksum after `before` in the data became `after` (RFC 1624, equation 3). Both of the same even length. */
export function updatedChecksum(old: number, before: Uint8Array, after: Uint8Array): number {
  let sum = ~old & 0xffff;
  for (let at = 0; at < before.length; at += 2) {
    sum += ~(((before[at] ?? 0) << 8) | (before[at + 1] ?? 0)) & 0xffff;
    sum += ((after[at] ?? 0) << 8) | (after[at + 1] ?? 0);
  }
  return ~fold(sum) & 0xffff;
}
