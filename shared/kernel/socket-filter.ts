import { kernelError } from "./kernel-error.ts";
import { addressOf, lastErrno, setSocketOption } from "./libc.ts";

/** Codes of classic BPF (linux/bpf_common.h). */
export const BPF = {
  loadWord: 0x20,
  loadHalf: 0x28,
  loadByte: 0x30,
  /** From offset X + value. */
  loadHalfIndexed: 0x48,
  loadByteIndexed: 0x50,
  /** X becomes the length of the IPv4 header at offset `value`. */
  headerLengthToX: 0xb1,
  jumpIfEqual: 0x15,
  return: 0x06,
} as const;

export const ACCEPT = 0xffffffff;
export const DROP = 0;

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;

/** struct sock_filter; a jump skips so many instructions. */
export interface Instruction {
  readonly code: number;
  readonly ifTrue?: number;
  readonly ifFalse?: number;
  readonly value: number;
}

/** A classic BPF program (struct sock_filter[]). */
export function assembleFilter(program: readonly Instruction[]): Uint8Array {
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

/** A socket's filter from now on. @throws KernelError that names `object`. */
export function attachFilter(fd: number, program: Uint8Array, object: string): void {
  const header = new Uint8Array(16); // struct sock_fprog
  const view = new DataView(header.buffer);
  view.setUint16(0, program.length / 8, true);
  view.setBigUint64(8, addressOf(program), true);
  if (setSocketOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, header, header.length) < 0) {
    throw kernelError(lastErrno(), object);
  }
}
