import { KernelNotFoundError } from "./kernel-error.ts";
import { type MessageWriter, NetlinkDecodeError, parseAttributes, readU16, readU32 } from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

/*
 * What libnftables reads too, but only with every element of every map at once: with 100,000 elements that is seconds.
 * Message and attribute numbers: linux/netfilter/nfnetlink.h, nf_tables.h.
 */

const NFNL_SUBSYS_NFTABLES = 10 << 8;
const NFT_MSG_GETSETELEM = NFNL_SUBSYS_NFTABLES | 13;
const NFT_MSG_GETOBJ = NFNL_SUBSYS_NFTABLES | 19;
const NFGENMSG_BYTES = 4;
/** Family numbers of tables. */
export const NFPROTO = { inet: 1, netdev: 5 } as const;
const NFT_OBJECT_COUNTER = 1;
const OBJ = { table: 1, name: 2, type: 3, data: 4 } as const;
const COUNTER = { bytes: 1, packets: 2 } as const;
const LIST = { table: 1, set: 2, elements: 3 } as const;
const LIST_ELEM = 1;
const ELEM = { key: 1, data: 2 } as const;
const DATA_VALUE = 1;
const ATTRIBUTE_BYTES = 4;
const TYPE_MASK = 0x3fff;

export type NftFamily = keyof typeof NFPROTO;

export interface NamedCounter {
  readonly name: string;
  readonly packets: number;
  readonly bytes: number;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function u64(bytes: Uint8Array | undefined): number {
  return bytes?.length === 8 ? Number(view(bytes).getBigUint64(0)) : 0;
}

/** Netfilter's attributes hold numbers in network order. */
function header(writer: MessageWriter, family: NftFamily): MessageWriter {
  return writer.u8(NFPROTO[family]).u8(0).u8(0).u8(0);
}

function orNothing<T>(dump: () => T[]): T[] {
  try {
    return dump();
  } catch (error) {
    if (error instanceof KernelNotFoundError) return [];
    throw error;
  }
}

/** The named counters of a table; none when there is no such table. */
export function listCounters(netfilter: NetlinkSocket, family: NftFamily, table: string): readonly NamedCounter[] {
  const request = {
    type: NFT_MSG_GETOBJ,
    flags: 0,
    describe: () => `counters of the nftables table ${family} ${table}`,
    write: (writer: MessageWriter) => {
      header(writer, family).attributeString(OBJ.table, table);
      writer.attribute(OBJ.type, Uint8Array.of(0, 0, 0, NFT_OBJECT_COUNTER));
    },
  };
  return orNothing(() =>
    netfilter.dump(request, ({ payload }): NamedCounter | undefined => {
      const object = parseAttributes(payload, NFGENMSG_BYTES);
      const name = object.string(OBJ.name);
      const data = object.nested(OBJ.data);
      const ours = object.string(OBJ.table) === table && object.bytes(OBJ.type)?.[3] === NFT_OBJECT_COUNTER;
      if (!ours || name === undefined || data === undefined) return undefined;
      return { name, packets: u64(data.bytes(COUNTER.packets)), bytes: u64(data.bytes(COUNTER.bytes)) };
    }),
  );
}

/** Elements of a map of one 32-bit number to another, both in the machine's order: keys and values by turns. */
export type NumberPairs = Uint32Array;

/**
 * The live elements of a map; none when there is no such map. Each look takes the kernel a time in proportion.
 * @param name of a map whose keys and data are 32 bits.
 */
export function listNumberMap(netfilter: NetlinkSocket, family: NftFamily, table: string, name: string): NumberPairs {
  const request = {
    type: NFT_MSG_GETSETELEM,
    flags: 0,
    describe: () => `elements of the nftables map ${family} ${table} ${name}`,
    write: (writer: MessageWriter) =>
      void header(writer, family).attributeString(LIST.table, table).attributeString(LIST.set, name),
  };
  const parts = orNothing(() =>
    netfilter.dump(request, ({ payload }) => numbersOf(parseAttributes(payload, NFGENMSG_BYTES).bytes(LIST.elements))),
  );
  const pairs = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    pairs.set(part, at);
    at += part.length;
  }
  return pairs;
}

/** The value of one element of such a map; undefined when there is none. Costs one system call. */
export function lookUpNumber(
  netfilter: NetlinkSocket,
  family: NftFamily,
  table: string,
  name: string,
  key: number,
): number | undefined {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, key, true);
  const request = {
    type: NFT_MSG_GETSETELEM,
    flags: 0,
    describe: () => `element ${key} of the nftables map ${family} ${table} ${name}`,
    write: (writer: MessageWriter) =>
      void header(writer, family)
        .attributeString(LIST.table, table)
        .attributeString(LIST.set, name)
        .nested(LIST.elements, () =>
          writer.nested(LIST_ELEM, () => writer.nested(ELEM.key, () => writer.attribute(DATA_VALUE, bytes))),
        ),
  };
  const [pairs = []] = orNothing(() => [
    netfilter.query(request, ({ payload }) => numbersOf(parseAttributes(payload, NFGENMSG_BYTES).bytes(LIST.elements))),
  ]);
  return pairs[1];
}

/** Walks attributes in place: there may be a hundred thousand elements. */
function* attributes(bytes: Uint8Array, from: number, to: number): Generator<readonly [number, number, number]> {
  for (let at = from; to - at >= ATTRIBUTE_BYTES; ) {
    const length = readU16(bytes, at);
    if (length < ATTRIBUTE_BYTES || length > to - at) {
      throw new NetlinkDecodeError(`attribute at ${at} claims ${length} of ${to - at} bytes`);
    }
    yield [readU16(bytes, at + 2) & TYPE_MASK, at + ATTRIBUTE_BYTES, at + length];
    at += (length + 3) & ~3;
  }
}

function numbersOf(list: Uint8Array | undefined): number[] {
  if (list === undefined) return [];
  const pairs: number[] = [];
  for (const [, from, to] of attributes(list, 0, list.length)) {
    let key: number | undefined;
    let data: number | undefined;
    for (const [type, start] of attributes(list, from, to)) {
      // Each is a nest with the value as its only attribute.
      if (type === ELEM.key) key = readU32(list, start + ATTRIBUTE_BYTES);
      else if (type === ELEM.data) data = readU32(list, start + ATTRIBUTE_BYTES);
    }
    if (key !== undefined && data !== undefined) pairs.push(key, data);
  }
  return pairs;
}
