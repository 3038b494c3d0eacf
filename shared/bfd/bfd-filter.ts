import { addressBytes } from "../kernel/address-bytes.ts";
import { ACCEPT, assembleFilter, BPF, DROP, type Instruction } from "../kernel/socket-filter.ts";
import type { Family, Ip } from "../net/ip.ts";

/** SKF_NET_OFF: offsets from here count from the IP header. */
const IP_HEADER = -0x100000;

/**
 * A program that lets in what comes from one of the neighbours with a TTL or hop
 * limit of 255, that is from the link (RFC 5881, section 5; RFC 5082). In the kernel, so that whatever else is sent to
 * the port neither fills the socket's buffer nor wakes anybody.
 */
export function neighbourFilter(family: Family, neighbours: readonly Ip[]): Uint8Array {
  const [ttlAt, sourceAt] = family === 4 ? [8, 12] : [7, 8];
  const program: Instruction[] = [
    { code: BPF.loadByte, value: IP_HEADER + ttlAt },
    { code: BPF.jumpIfEqual, ifTrue: 1, value: 255 },
    { code: BPF.return, value: DROP },
  ];
  for (const neighbour of neighbours) {
    const bytes = addressBytes(neighbour);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const words = bytes.length / 4;
    for (let word = 0; word < words; word++) {
      program.push({ code: BPF.loadWord, value: IP_HEADER + sourceAt + word * 4 });
      // To the next neighbour: past the words that are left, two instructions each, and the acceptance.
      program.push({ code: BPF.jumpIfEqual, ifFalse: (words - word - 1) * 2 + 1, value: view.getUint32(word * 4) });
    }
    program.push({ code: BPF.return, value: ACCEPT });
  }
  program.push({ code: BPF.return, value: DROP });
  return assembleFilter(program);
}

/** Lets nothing in: for a socket that only sends. */
export function closedFilter(): Uint8Array {
  return assembleFilter([{ code: BPF.return, value: DROP }]);
}
