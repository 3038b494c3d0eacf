import { addressBytes } from "../kernel/address-bytes.ts";
import type { Family, Ip } from "../net/ip.ts";

const LOAD_WORD = 0x20;
const LOAD_BYTE = 0x30;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
/** SKF_NET_OFF: offsets from here count from the IP header. */
const IP_HEADER = -0x100000;
const ACCEPT = 0xffffffff;
const DROP = 0;

interface Instruction {
  readonly code: number;
  readonly ifTrue?: number;
  readonly ifFalse?: number;
  readonly value: number;
}

/**
 * A classic BPF program (struct sock_filter[]) that lets in what comes from one of the neighbours with a TTL or hop
 * limit of 255, that is from the link (RFC 5881, section 5; RFC 5082). In the kernel, so that whatever else is sent to
 * the port neither fills the socket's buffer nor wakes anybody.
 */
export function neighbourFilter(family: Family, neighbours: readonly Ip[]): Uint8Array {
  const [ttlAt, sourceAt] = family === 4 ? [8, 12] : [7, 8];
  const program: Instruction[] = [
    { code: LOAD_BYTE, value: IP_HEADER + ttlAt },
    { code: JUMP_IF_EQUAL, ifTrue: 1, value: 255 },
    { code: RETURN, value: DROP },
  ];
  for (const neighbour of neighbours) {
    const bytes = addressBytes(neighbour);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const words = bytes.length / 4;
    for (let word = 0; word < words; word++) {
      program.push({ code: LOAD_WORD, value: IP_HEADER + sourceAt + word * 4 });
      // To the next neighbour: past the words that are left, two instructions each, and the acceptance.
      program.push({ code: JUMP_IF_EQUAL, ifFalse: (words - word - 1) * 2 + 1, value: view.getUint32(word * 4) });
    }
    program.push({ code: RETURN, value: ACCEPT });
  }
  program.push({ code: RETURN, value: DROP });
  return assemble(program);
}

/** Lets nothing in: for a socket that only sends. */
export function closedFilter(): Uint8Array {
  return assemble([{ code: RETURN, value: DROP }]);
}

function assemble(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, ifTrue = 0, ifFalse = 0, value }] of program.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, ifTrue);
    view.setUint8(index * 8 + 3, ifFalse);
    view.setUint32(index * 8 + 4, value >>> 0, true);
  }
  return bytes;
}
