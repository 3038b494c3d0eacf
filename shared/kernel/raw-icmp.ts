import type { Family } from "./address-bytes.ts";
import { type KernelError, KernelInvalidError, kernelError } from "./kernel-error.ts";
import {
  addressOf,
  closeFd,
  ERRNO,
  intOption,
  lastErrno,
  receiveMessage,
  sendTo,
  setSocketOption,
  socket,
  watchReadable,
} from "./libc.ts";
import { withNetns } from "./network-namespace.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0x800 | 0x80000;
const IPPROTO_ICMP = 1;
const IPPROTO_IPV6 = 41;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_RAW = 255;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const SO_RXQ_OVFL = 40;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
const ICMPV6_FILTER = 1;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
const ICMP_ERRORS = [3, 11, 12];
const ICMPV6_ERRORS = [1, 2, 3, 4];
/** The rate is kept per window: after a window's share the socket rests, and the kernel drops what its buffer cannot hold. */
const WINDOW_MS = 100;

export interface RawIcmpOptions {
  readonly family: Family;
  readonly netns?: string | undefined;
  readonly signal: AbortSignal;
  /** A whole packet from its IP header on, its own copy. IPv6: the header is rebuilt without traffic class and flow label. */
  readonly onPacket: (packet: Uint8Array) => void;
  /** Reception has ended because the socket failed. */
  readonly onError: (error: KernelError) => void;
  /** Default 1000. More than this is dropped and counted. */
  readonly packetsPerSecond?: number;
}

export interface RawIcmp {
  /** Sends a whole IP packet as it is (the kernel fills in IPv4's checksum), routed with `mark`. */
  sendRaw(packet: Uint8Array, options?: { readonly mark?: number }): void;
  counters(): { readonly received: number; readonly dropped: number };
  close(): void;
}

/**
 * Receives the ICMP errors that are delivered to this namespace (destination unreachable, packet too big, time exceeded,
 * parameter problem), and sends packets with a header of the caller's. Needs CAP_NET_RAW; marks need CAP_NET_ADMIN.
 */
export function openRawIcmp(options: RawIcmpOptions): RawIcmp {
  options.signal.throwIfAborted();
  const { family } = options;
  const object = `raw ICMP socket for IPv${family}`;
  const [receiver, sender] = withNetns(options.netns, () => openSockets(family, object));
  const message = new MessageBuffers();
  const windowShare = Math.max(1, Math.floor(((options.packetsPerSecond ?? 1000) * WINDOW_MS) / 1000));
  let closed = false;
  let received = 0;
  let dropped = 0;
  let mark = 0;
  let windowStartMs = 0;
  let inWindow = 0;
  let rest: NodeJS.Timeout | undefined;

  const close = () => {
    if (closed) return;
    closed = true;
    clearTimeout(rest);
    options.signal.removeEventListener("abort", close);
    watch.close();
    closeFd(receiver);
    closeFd(sender);
  };

  const readable = () => {
    const nowMs = performance.now();
    if (nowMs - windowStartMs >= WINDOW_MS) {
      windowStartMs = nowMs;
      inWindow = 0;
    }
    while (!closed && inWindow < windowShare) {
      const count = message.receive(receiver);
      if (count < 0) {
        const errno = lastErrno();
        if (errno === ERRNO.EAGAIN) return;
        if (errno === ERRNO.EINTR || errno === ERRNO.ENOBUFS) continue;
        close();
        options.onError(kernelError(errno, object, "", "CAP_NET_RAW"));
        return;
      }
      inWindow++;
      const control = message.control();
      dropped = control.dropped ?? dropped;
      const packet = family === 4 ? message.data(count) : rebuildIpv6(message, count, control);
      if (!packet) continue;
      received++;
      options.onPacket(packet);
    }
    if (closed) return;
    watch.stop();
    rest = setTimeout(() => watch.start(), WINDOW_MS - (nowMs - windowStartMs));
  };

  const sendRaw = (packet: Uint8Array, { mark: wanted = 0 } = {}) => {
    if (closed) throw new KernelInvalidError(object, "EBADF", "is closed");
    if (wanted !== mark) {
      if (setSocketOption(sender, SOL_SOCKET, SO_MARK, intOption(wanted | 0), 4) < 0) {
        throw kernelError(lastErrno(), `${object}: mark ${wanted}`);
      }
      mark = wanted;
    }
    const address = destinationOf(packet, family, object);
    if (sendTo(sender, packet, packet.length, 0, address, address.length) < 0) throw kernelError(lastErrno(), object);
  };

  const watch = watchReadable(receiver, readable);
  options.signal.addEventListener("abort", close, { once: true });
  return { sendRaw, counters: () => ({ received, dropped }), close };
}

function openSockets(family: Family, object: string): readonly [number, number] {
  const domain = family === 4 ? AF_INET : AF_INET6;
  const open = (protocol: number) => {
    const fd = socket(domain, SOCK_RAW_NONBLOCK_CLOEXEC, protocol);
    if (fd < 0) throw kernelError(lastErrno(), object, "", "CAP_NET_RAW");
    return fd;
  };
  const receiver = open(family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  try {
    const filterLevel = family === 4 ? SOL_RAW : IPPROTO_ICMPV6;
    const filter = blockAllBut(family === 4 ? ICMP_ERRORS : ICMPV6_ERRORS, family === 4 ? 1 : 8);
    const wanted: [number, number, Uint8Array][] = [
      [filterLevel, family === 4 ? ICMP_FILTER : ICMPV6_FILTER, filter],
      [SOL_SOCKET, SO_RXQ_OVFL, intOption(1)],
    ];
    if (family === 6) {
      wanted.push([IPPROTO_IPV6, IPV6_RECVPKTINFO, intOption(1)], [IPPROTO_IPV6, IPV6_RECVHOPLIMIT, intOption(1)]);
    }
    for (const [level, option, value] of wanted) {
      if (setSocketOption(receiver, level, option, value, value.length) < 0) throw kernelError(lastErrno(), object);
    }
    return [receiver, open(IPPROTO_RAW)]; // IPPROTO_RAW: the header is included, and nothing is received
  } catch (error) {
    closeFd(receiver);
    throw error;
  }
}

/** struct icmp_filter and icmp6_filter: words of bits, where a set bit blocks the type. */
function blockAllBut(types: readonly number[], words: number): Uint8Array {
  const bits = new Uint32Array(words).fill(0xffffffff);
  for (const type of types) bits[0] = (bits[0] ?? 0) & ~(1 << type);
  return new Uint8Array(bits.buffer);
}

interface ControlData {
  destination?: Uint8Array;
  hopLimit?: number;
  /** Packets the kernel dropped on this socket so far. */
  dropped?: number;
}

/** A struct msghdr with its buffers, laid out for 64-bit Linux; the pointers hold as long as this object does. */
class MessageBuffers {
  readonly #data = new Uint8Array(65_536);
  readonly #name = new Uint8Array(28); // struct sockaddr_in6
  readonly #control = new Uint8Array(256);
  readonly #vector = new Uint8Array(16);
  readonly #header = new Uint8Array(56);
  readonly #view = new DataView(this.#header.buffer);

  receive(fd: number): number {
    const vector = new DataView(this.#vector.buffer);
    vector.setBigUint64(0, addressOf(this.#data), true);
    vector.setBigUint64(8, BigInt(this.#data.length), true);
    const view = this.#view;
    view.setBigUint64(0, addressOf(this.#name), true);
    view.setUint32(8, this.#name.length, true);
    view.setBigUint64(16, addressOf(this.#vector), true);
    view.setBigUint64(24, 1n, true);
    view.setBigUint64(32, addressOf(this.#control), true);
    view.setBigUint64(40, BigInt(this.#control.length), true);
    return receiveMessage(fd, this.#header, 0);
  }

  data(count: number): Uint8Array {
    return this.#data.slice(0, count);
  }

  /** The IPv6 source in the sockaddr_in6. */
  source(): Uint8Array {
    return this.#name.subarray(8, 24);
  }

  control(): ControlData {
    const found: ControlData = {};
    const length = Math.min(Number(this.#view.getBigUint64(40, true)), this.#control.length);
    const view = new DataView(this.#control.buffer, 0, length);
    for (let at = 0; at + 16 <= length; ) {
      const size = Number(view.getBigUint64(at, true));
      if (size < 16 || size > length - at) break;
      const level = view.getInt32(at + 8, true);
      const type = view.getInt32(at + 12, true);
      if (level === SOL_SOCKET && type === SO_RXQ_OVFL && size >= 20) found.dropped = view.getUint32(at + 16, true);
      if (level === IPPROTO_IPV6 && type === IPV6_HOPLIMIT && size >= 20) found.hopLimit = view.getInt32(at + 16, true);
      if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO && size >= 32) {
        found.destination = this.#control.slice(at + 16, at + 32);
      }
      at += (size + 7) & ~7;
    }
    return found;
  }
}

/** IPv6 raw sockets deliver without the IP header (RFC 3542, section 3). */
function rebuildIpv6(message: MessageBuffers, count: number, control: ControlData): Uint8Array | undefined {
  if (!control.destination || control.hopLimit === undefined) return undefined;
  const packet = new Uint8Array(40 + count);
  packet[0] = 0x60;
  packet[4] = count >> 8;
  packet[5] = count & 0xff;
  packet[6] = IPPROTO_ICMPV6;
  packet[7] = control.hopLimit;
  packet.set(message.source(), 8);
  packet.set(control.destination, 24);
  packet.set(message.data(count), 40);
  return packet;
}

/** The socket address that the packet's own header names. */
function destinationOf(packet: Uint8Array, family: Family, object: string): Uint8Array {
  if (packet.length < (family === 4 ? 20 : 40) || (packet[0] ?? 0) >> 4 !== family) {
    throw new KernelInvalidError(object, "EINVAL", `can only send whole IPv${family} packets`);
  }
  const address = new Uint8Array(family === 4 ? 16 : 28);
  address[0] = family === 4 ? AF_INET : AF_INET6;
  if (family === 4) address.set(packet.subarray(16, 20), 4);
  else address.set(packet.subarray(24, 40), 8);
  return address;
}
