import { addressOf, ERRNO, lastErrno, sendMessages } from "./libc.ts";
import { SOCKET_ADDRESS_BYTES } from "./socket-address.ts";

/** A datagram on its way. */
export interface OutgoingDatagram {
  readonly octets: Uint8Array;
  /** struct sockaddr_in or sockaddr_in6; datagrams that share the object go to the same place. */
  readonly to: Uint8Array;
}

export interface BatchResult<T> {
  /** The kernel has no room for these now. */
  readonly left: readonly T[];
  /** Datagrams that the kernel refused, for good. */
  readonly failed: number;
}

/** Of one call of sendmmsg(2). */
const MESSAGES = 64;
const ARENA_OCTETS = 128 * 1024;
/** UDP_MAX_SEGMENTS of kernels before 6.9. */
const SEGMENTS = 64;
const SEGMENTED_OCTETS = 60_000;
/**
 * What fits every MTU that IPv6 allows (1,280) is cut without fragments on any way; the kernel refuses to make segments that
 * do not fit the interface's.
 */
const LONGEST_SEGMENT = 1_232;

const MMSGHDR = 64;
const IOVEC = 16;
const CMSG = 24;
const ADDRESS = 32;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** An interface without checksum offload, IPsec, an old kernel, a smaller MTU: it goes without. */
const NO_SEGMENTS: ReadonlySet<number> = new Set([ERRNO.EIO, ERRNO.EINVAL, ERRNO.EMSGSIZE, ERRNO.EOPNOTSUPP]);
const NO_ROOM: ReadonlySet<number> = new Set([ERRNO.EAGAIN, ERRNO.ENOBUFS]);

/** A UDP socket that datagrams leave by. */
export interface BatchSocket {
  readonly fd: number;
  /** Whether the kernel is asked to make segments there: until it refuses. */
  segments: boolean;
}

/** sendmmsg(2): how many messages were sent, or a negative errno. */
export type SendMessages = (fd: number, messages: Uint8Array, count: number) => number;

const system: SendMessages = (fd, messages, count) => {
  const sent = sendMessages(fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? -lastErrno() : sent;
};

/**
 * Sends many datagrams by few system calls. Those of one length to one place travel through the kernel as one packet that is
 * cut where it leaves (UDP_SEGMENT, Linux 4.18): each arrives as a datagram of its own, octet for octet. Their order is kept
 * among those of one length to one place, and not beyond.
 */
export class DatagramBatch<T extends OutgoingDatagram> {
  readonly #sendMessages: SendMessages;
  readonly #memory = new Uint8Array(MESSAGES * (MMSGHDR + IOVEC + CMSG + ADDRESS) + ARENA_OCTETS);
  readonly #view = new DataView(this.#memory.buffer);
  readonly #headers = this.#memory.subarray(0, MESSAGES * MMSGHDR);
  readonly #base = addressOf(this.#memory);

  constructor(send: SendMessages = system) {
    this.#sendMessages = send;
  }

  send(socket: BatchSocket, datagrams: readonly T[]): BatchResult<T> {
    const groups = socket.segments ? grouped(datagrams) : datagrams.map((one) => [one]);
    let failed = 0;
    let at = 0;
    while (at < groups.length) {
      const result = this.#sendMessages(socket.fd, this.#headers, this.#write(groups, at));
      if (result > 0) {
        at += result;
        continue;
      }
      if (result === -ERRNO.EINTR) continue;
      if (NO_ROOM.has(-result)) return { left: groups.slice(at).flat(), failed };
      const first = groups[at] ?? [];
      if (first.length > 1 && NO_SEGMENTS.has(-result)) {
        socket.segments = false;
        const singly = groups.splice(at).flat();
        for (const one of singly) groups.push([one]);
      } else {
        failed += first.length;
        at++;
      }
    }
    return { left: [], failed };
  }

  /** Lays out as many groups, from `at` on, as there is room for. @returns how many. */
  #write(groups: readonly (readonly T[])[], at: number): number {
    const view = this.#view;
    const memory = this.#memory;
    const iovecs = MESSAGES * MMSGHDR;
    const controls = iovecs + MESSAGES * IOVEC;
    const addresses = controls + MESSAGES * CMSG;
    let free = addresses + MESSAGES * ADDRESS;
    let count = 0;
    for (let next = at; next < groups.length && count < MESSAGES; next++) {
      const group = groups[next] ?? [];
      const [first] = group;
      if (first === undefined) break;
      const length = first.octets.length * group.length;
      if (free + length > memory.length) break;
      const from = free;
      for (const { octets } of group) {
        memory.set(octets, free);
        free += octets.length;
      }
      const header = count * MMSGHDR;
      const iovec = iovecs + count * IOVEC;
      const control = controls + count * CMSG;
      const address = addresses + count * ADDRESS;
      memory.set(first.to.subarray(0, SOCKET_ADDRESS_BYTES), address);
      view.setBigUint64(iovec, this.#base + BigInt(from), true);
      view.setBigUint64(iovec + 8, BigInt(length), true);
      // struct msghdr: name, its length, iovecs, their number, control, its length, flags; then msg_len.
      view.setBigUint64(header, this.#base + BigInt(address), true);
      view.setUint32(header + 8, first.to.length, true);
      view.setBigUint64(header + 16, this.#base + BigInt(iovec), true);
      view.setBigUint64(header + 24, 1n, true);
      const isSegmented = group.length > 1;
      view.setBigUint64(header + 32, isSegmented ? this.#base + BigInt(control) : 0n, true);
      view.setBigUint64(header + 40, isSegmented ? BigInt(CMSG) : 0n, true);
      if (isSegmented) {
        // struct cmsghdr: its length with the value, level, type.
        view.setBigUint64(control, 18n, true);
        view.setUint32(control + 8, SOL_UDP, true);
        view.setUint32(control + 12, UDP_SEGMENT, true);
        view.setUint16(control + 16, first.octets.length, true);
      }
      count++;
    }
    return count;
  }
}

/** What goes together, in the order in which the first of each came. */
function grouped<T extends OutgoingDatagram>(datagrams: readonly T[]): T[][] {
  const groups: T[][] = [];
  const open = new Map<Uint8Array, Map<number, T[]>>();
  for (const one of datagrams) {
    const { length } = one.octets;
    const byLength = open.get(one.to) ?? new Map<number, T[]>();
    const group = byLength.get(length);
    const hasRoom = group !== undefined && group.length < SEGMENTS && (group.length + 1) * length <= SEGMENTED_OCTETS;
    if (hasRoom && length <= LONGEST_SEGMENT && length > 0) group.push(one);
    else {
      const begun = [one];
      groups.push(begun);
      open.set(one.to, byLength.set(length, begun));
    }
  }
  return groups;
}
