import { endianness } from "node:os";

/**
 * What stands for a slot where a map is declared. A hash has no type that a map could name; any raw 32 bits will do. They
 * are taken for a packet's, in network order, while a hash is in the machine's own: so keys are written swapped.
 */
export const SLOT = "@th,0,32";

const SWAPPED = endianness() === "LE";

/** The key of a slot in a lookup table's map, and the slot of a key. */
export function slotKey(slot: number): number {
  if (!SWAPPED) return slot;
  return (((slot & 0xff) << 24) | ((slot & 0xff00) << 8) | ((slot >>> 8) & 0xff00) | (slot >>> 24)) >>> 0;
}
