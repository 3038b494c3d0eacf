import { type Family, formatAddress } from "./address-bytes.ts";
import { kernelError } from "./kernel-error.ts";
import {
  bindSocket,
  closeFd,
  ERRNO,
  intOption,
  lastErrno,
  receiveFrom,
  sendTo,
  setSocketOption,
  socket,
} from "./libc.ts";
import { AF_INET, AF_INET6, SOCKET_ADDRESS_BYTES, socketAddress, socketAddressIp } from "./socket-address.ts";
import { ACCEPT, assembleFilter, attachFilter, BPF, DROP } from "./socket-filter.ts";

const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0x800 | 0x80000;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;
const SO_MARK = 36;
const ECHO = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;
const HEADER_BYTES = 8;
/** IP header with options, and the echo reply. */
const RECEIVE_BYTES = 128;
/** Per turn, so that a flood starves nobody. */
const READS_PER_TURN = 256;

export interface EchoSocketOptions {
  readonly family: Family;
  /** Echoes leave by this interface, and only what comes in by it is heard. */
  readonly device: string;
  /** Tells our echoes from everybody else's: 16 bits. */
  readonly identifier: number;
  /** The sender's address, one of this host; absent: the kernel chooses. */
  readonly source?: string;
}

/**
 * Sends ICMP echo requests and hears the replies to them. It stays in the network namespace in which it was opened.
 * A filter in the kernel lets in nothing but replies to its own identifier. Needs CAP_NET_RAW there.
 */
export class EchoSocket {
  readonly #fd: number;
  readonly #options: EchoSocketOptions;
  readonly #object: string;
  readonly #message = new Uint8Array(HEADER_BYTES);
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #from = new Uint8Array(SOCKET_ADDRESS_BYTES);
  readonly #fromLength = new Uint8Array(4);
  #mark = 0;

  /** @throws KernelError */
  constructor(options: EchoSocketOptions) {
    const { device, family, identifier, source } = options;
    this.#options = options;
    this.#object = `echo socket for IPv${family} on ${device}`;
    const protocol = family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    this.#fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW_NONBLOCK_CLOEXEC, protocol);
    if (this.#fd < 0) throw kernelError(lastErrno(), this.#object, "", "CAP_NET_RAW");
    try {
      attachFilter(this.#fd, replyFilter(family, identifier), this.#object);
      const name = new TextEncoder().encode(device);
      if (setSocketOption(this.#fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length) < 0) {
        throw kernelError(lastErrno(), this.#object, "", "CAP_NET_RAW");
      }
      const own = source === undefined ? undefined : socketAddress(source, 0);
      if (own && bindSocket(this.#fd, own, own.length) < 0)
        throw kernelError(lastErrno(), `${this.#object}: ${source}`);
    } catch (error) {
      closeFd(this.#fd);
      throw error;
    }
  }

  /**
   * @param mark routes the request by the rules for packets that carry it; needs CAP_NET_ADMIN.
   * @throws KernelError when the request did not leave.
   */
  send(to: string, sequence: number, mark = 0): void {
    const { family, identifier } = this.#options;
    if (mark !== this.#mark) {
      if (setSocketOption(this.#fd, SOL_SOCKET, SO_MARK, intOption(mark | 0), 4) < 0) {
        throw kernelError(lastErrno(), `${this.#object}: mark ${mark}`, "", "CAP_NET_ADMIN");
      }
      this.#mark = mark;
    }
    const { request } = ECHO[family];
    const view = new DataView(this.#message.buffer);
    view.setUint8(0, request);
    view.setUint16(4, identifier);
    view.setUint16(6, sequence & 0xffff);
    // RFC 1071; over a header without data. The kernel writes ICMPv6's.
    const sum = (request << 8) + identifier + (sequence & 0xffff);
    view.setUint16(2, family === 4 ? ~((sum & 0xffff) + (sum >>> 16)) & 0xffff : 0);
    const address = socketAddress(to, 0);
    if (sendTo(this.#fd, this.#message, HEADER_BYTES, 0, address, address.length) < 0) {
      throw kernelError(lastErrno(), `echo request to ${to}`);
    }
  }

  /** Reads what has come. @throws KernelError when the socket can hear no more. */
  drain(onReply: (from: string, sequence: number) => void): void {
    for (let reads = 0; reads < READS_PER_TURN; reads++) {
      this.#fromLength.set(intOption(this.#from.length));
      const count = receiveFrom(this.#fd, this.#buffer, RECEIVE_BYTES, 0, this.#from, this.#fromLength);
      if (count < 0) {
        const errno = lastErrno();
        if (errno === ERRNO.EAGAIN) return;
        // What an echo request met on its way (no route, no neighbour) is told once, and is no fault of the socket.
        if ([ERRNO.EINTR, ERRNO.EHOSTUNREACH, ERRNO.ENETUNREACH, ERRNO.ENOBUFS].includes(errno)) continue;
        throw kernelError(errno, this.#object);
      }
      // IPv4 comes with its header.
      const start = this.#options.family === 4 ? ((this.#buffer[0] ?? 0) & 0x0f) * 4 : 0;
      if (count < start + HEADER_BYTES) continue;
      const sequence = ((this.#buffer[start + 6] ?? 0) << 8) | (this.#buffer[start + 7] ?? 0);
      onReply(formatAddress(socketAddressIp(this.#from)), sequence);
    }
  }

  close(): void {
    closeFd(this.#fd);
  }
}

/** The packet begins with its IP header in an IPv4 raw socket, with the ICMPv6 message in one for IPv6. */
function replyFilter(family: Family, identifier: number): Uint8Array {
  const { reply } = ECHO[family];
  const [type, id] =
    family === 4
      ? [
          { code: BPF.loadByteIndexed, value: 0 },
          { code: BPF.loadHalfIndexed, value: 4 },
        ]
      : [
          { code: BPF.loadByte, value: 0 },
          { code: BPF.loadHalf, value: 4 },
        ];
  return assembleFilter([
    ...(family === 4 ? [{ code: BPF.headerLengthToX, value: 0 }] : []),
    type,
    { code: BPF.jumpIfEqual, ifFalse: 3, value: reply },
    id,
    { code: BPF.jumpIfEqual, ifFalse: 1, value: identifier },
    { code: BPF.return, value: ACCEPT },
    { code: BPF.return, value: DROP },
  ]);
}
