/*
 * What gateways tell each other on every network that they share, by multicast that leaves no link:
 *
 *   octets  0..7   "CWFANOUT"
 *           8      version, 1
 *           9      0
 *          10..11  number of offers, big-endian
 *          12..27  id of the gateway
 *          28..    offers, 4 octets each, big-endian
 */

export interface Hello {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Numbers of the copies that it makes or would make. None: it is about to leave. */
  readonly offers: readonly number[];
}

const MAGIC = Buffer.from("CWFANOUT", "latin1");
const VERSION = 1;
const HEAD_OCTETS = 28;
const ID_OCTETS = 16;
const COUNT_AT = 10;
const ID_AT = 12;

/** Fits a datagram of the smallest MTU of IPv6, 1,280 octets. Copies beyond that are offered by nobody. */
export const MOST_OFFERS = 300;

/** @throws RangeError for an id of another shape. */
export function encodeHello({ id, offers }: Hello): Buffer {
  if (!/^[0-9a-f]{32}$/.test(id)) throw new RangeError(`${JSON.stringify(id)} is no gateway's id`);
  const told = offers.slice(0, MOST_OFFERS);
  const datagram = Buffer.alloc(HEAD_OCTETS + told.length * 4);
  MAGIC.copy(datagram);
  datagram[MAGIC.length] = VERSION;
  datagram.writeUInt16BE(told.length, COUNT_AT);
  datagram.write(id, ID_AT, "hex");
  for (const [index, offer] of told.entries()) datagram.writeUInt32BE(offer >>> 0, HEAD_OCTETS + index * 4);
  return datagram;
}

/** @returns undefined for what is no hello of this version. */
export function decodeHello(datagram: Uint8Array): Hello | undefined {
  const octets = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (octets.length < HEAD_OCTETS || !octets.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (octets[MAGIC.length] !== VERSION) return undefined;
  const count = octets.readUInt16BE(COUNT_AT);
  if (count > MOST_OFFERS || octets.length !== HEAD_OCTETS + count * 4) return undefined;
  return {
    id: octets.toString("hex", ID_AT, ID_AT + ID_OCTETS),
    offers: Array.from({ length: count }, (_, index) => octets.readUInt32BE(HEAD_OCTETS + index * 4)),
  };
}
