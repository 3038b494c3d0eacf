import { KernelBusyError, type KernelError, KernelInvalidError, kernelError } from "./kernel-error.ts";
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
  waitReadable,
} from "./libc.ts";
import {
  MessageWriter,
  NetlinkDecodeError,
  type NetlinkMessage,
  parseAttributes,
  parseMessages,
  readU32,
} from "./netlink-message.ts";
import { withNetns } from "./network-namespace.ts";

const NETLINK_ROUTE = 0;
const NETLINK_NETFILTER = 12;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0x80000;
const SOCK_NONBLOCK = 0x800;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

/**
 * Messages per sendto. Only the last one asks for an acknowledgement; the others answer only when they fail, so at worst
 * this many error messages (about 1 KiB each) wait in the receive buffer, which holds them even at its default size.
 */
const BATCH_MESSAGES = 100;
const BATCH_BYTES = 32 * 1024;
/** The kernel's dump messages are at most 32 KiB, or as large as the largest recv it has seen. */
const RECEIVE_BYTES = 64 * 1024;
const DUMP_ATTEMPTS = 10;

export interface NetlinkRequest {
  readonly type: number;
  readonly flags: number;
  /** Names the object in errors. Called only then. */
  readonly describe: () => string;
  /** Writes the payload. What it throws becomes this request's outcome. */
  readonly write: (writer: MessageWriter) => void;
}

export interface NetlinkOptions {
  /** Path of a network namespace; the caller's own without. */
  readonly netns?: string | undefined;
  /** How long to wait for an answer. The kernel answers rtnetlink within sendto, so only a wedged one takes long. */
  readonly timeoutMs?: number;
}

/** Opens an rtnetlink socket in a network namespace. It stays in that namespace whatever the thread does later. */
export function openNetlink(options: NetlinkOptions = {}): NetlinkSocket {
  return new NetlinkSocket(openRouteSocket(options.netns, 0), options.timeoutMs ?? 5_000);
}

/** As {@link openNetlink}, to netfilter. */
export function openNetfilter(options: NetlinkOptions = {}): NetlinkSocket {
  return new NetlinkSocket(openSocket(options.netns, NETLINK_NETFILTER, 0), options.timeoutMs ?? 5_000);
}

/** A non-blocking NETLINK_ROUTE descriptor subscribed to a bit mask of groups. */
export function openRouteSocket(netns: string | undefined, groups: number): number {
  return openSocket(netns, NETLINK_ROUTE, groups);
}

function openSocket(netns: string | undefined, protocol: number, groups: number): number {
  return withNetns(netns, () => {
    const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0) throw kernelError(lastErrno(), "netlink socket");
    setSocketOption(fd, SOL_SOCKET, SO_RCVBUF, intOption(1 << 20), 4); // the kernel lowers it to net.core.rmem_max
    if (bindSocket(fd, netlinkAddress(groups), 12) < 0) {
      const error = kernelError(lastErrno(), "netlink socket");
      closeFd(fd);
      throw error;
    }
    return fd;
  });
}

/** A socket's calls are synchronous and take microseconds; one caller at a time. */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #timeoutMs: number;
  readonly #writer = new MessageWriter();
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #peer = new Uint8Array(12);
  readonly #peerLength = intOption(12);
  readonly #kernel = netlinkAddress(0);
  #sequence = 0;
  #closed = false;

  constructor(fd: number, timeoutMs: number) {
    this.#fd = fd;
    this.#timeoutMs = timeoutMs;
    // Comfort of newer kernels; an older one refuses the option and everything here works without.
    for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) {
      setSocketOption(fd, SOL_NETLINK, option, intOption(1), 4);
    }
  }

  /** One change. Throws the KernelError. */
  request(request: NetlinkRequest): void {
    const [error] = this.requestAll([request]);
    if (error) throw error;
  }

  /**
   * Many changes in few system calls, in order. One failed change does not stop the others; `outcomes[i]` is the error of
   * `requests[i]`, or undefined where it was done. Throws only when the kernel does not answer.
   */
  requestAll(requests: readonly NetlinkRequest[]): (KernelError | undefined)[] {
    const outcomes: (KernelError | undefined)[] = new Array(requests.length).fill(undefined);
    let next = 0;
    while (next < requests.length) next = this.#requestBatch(requests, next, outcomes);
    return outcomes;
  }

  #requestBatch(requests: readonly NetlinkRequest[], start: number, outcomes: (KernelError | undefined)[]): number {
    const writer = this.#writer;
    writer.reset();
    const pending = new Map<number, number>(); // sequence -> index
    let last = 0;
    let index = start;
    for (; index < requests.length && pending.size < BATCH_MESSAGES && writer.length < BATCH_BYTES; index++) {
      const request = requests[index];
      if (!request) break;
      const sequence = this.#nextSequence();
      writer.startMessage(request.type, request.flags | NLM_F_REQUEST, sequence);
      try {
        request.write(writer);
        writer.endMessage();
        pending.set(sequence, index);
        last = sequence;
      } catch (error) {
        writer.abandonMessage();
        // A refused value has said so itself; anything else is a bug of this module.
        if (!(error instanceof KernelInvalidError)) throw error;
        outcomes[index] = new KernelInvalidError(request.describe(), error.code, error.message, { cause: error });
      }
    }
    if (pending.size === 0) return index;
    writer.addFlags(NLM_F_ACK);
    const object = () => `${pending.size} netlink requests, the first for ${requests[start]?.describe()}`;
    this.#send(object);
    this.#receiveUntil(object, (message) => {
      if (message.type !== NLMSG_ERROR) return false;
      const failed = pending.get(message.sequence);
      if (failed === undefined) return false;
      outcomes[failed] = answer(message, requests[failed]?.describe ?? object);
      return message.sequence === last;
    });
    return index;
  }

  /**
   * Messages that the kernel takes all together or not at all, as netfilter's do between a message that begins a batch and
   * one that ends it: first and last of these.
   * @returns the kernel's first error; undefined when all was done.
   */
  batch(object: string, messages: readonly Omit<NetlinkRequest, "describe">[]): KernelError | undefined {
    const writer = this.#writer;
    writer.reset();
    let first = 0;
    let asked = 0;
    for (const [index, { type, flags, write }] of messages.entries()) {
      // The end is not answered; who asks for an answer before it gets it after it.
      const isLast = index === messages.length - 2;
      const sequence = this.#nextSequence();
      if (index === 0) first = sequence;
      if (isLast) asked = sequence;
      writer.startMessage(type, flags | NLM_F_REQUEST | (isLast ? NLM_F_ACK : 0), sequence);
      write(writer);
      writer.endMessage();
    }
    const describe = (): string => object;
    this.#send(describe);
    let failure: KernelError | undefined;
    this.#receiveUntil(describe, (message) => {
      const ours = (message.sequence - first) >>> 0 <= messages.length;
      if (message.type !== NLMSG_ERROR || !ours) return false;
      const error = answer(message, describe);
      failure ??= error;
      // A batch that is refused as a whole is answered at its beginning, and may be so alone.
      return message.sequence === asked || (message.sequence === first && error !== undefined);
    });
    return failure;
  }

  /** A request that is answered with one object, such as a route lookup. */
  query<T>(request: NetlinkRequest, parse: (message: NetlinkMessage) => T): T {
    const sequence = this.#start(request, NLM_F_REQUEST);
    const found: T[] = [];
    this.#receiveUntil(request.describe, (message) => {
      if (message.sequence !== sequence) return false;
      if (message.type === NLMSG_ERROR) {
        const error = answer(message, request.describe);
        if (error) throw error;
      } else found.push(parse(message));
      return true;
    });
    const [value] = found;
    if (value === undefined) throw new KernelBusyError(request.describe(), "EAGAIN", "answered without an object");
    return value;
  }

  /**
   * All objects of a kind. `parse` returns undefined for those to leave out. A dump during which the objects changed is
   * taken again, up to 10 times, then KernelBusyError.
   */
  dump<T>(request: NetlinkRequest, parse: (message: NetlinkMessage) => T | undefined): T[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const found = this.#dumpOnce(request, parse);
      if (found) return found;
    }
    throw new KernelBusyError(request.describe(), "EINTR", `changed during each of ${DUMP_ATTEMPTS} listings`);
  }

  #dumpOnce<T>(request: NetlinkRequest, parse: (message: NetlinkMessage) => T | undefined): T[] | undefined {
    const sequence = this.#start(request, NLM_F_REQUEST | NLM_F_DUMP);
    const found: T[] = [];
    let interrupted = false;
    let failure: unknown;
    // After an error the rest is still read, so that the next dump on this socket does not meet EBUSY.
    this.#receiveUntil(request.describe, (message) => {
      if (message.sequence !== sequence) return false;
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        failure ??= answer(message, request.describe);
        return true;
      }
      if (failure !== undefined) return false;
      try {
        const value = parse(message);
        if (value !== undefined) found.push(value);
      } catch (error) {
        failure = error;
      }
      return false;
    });
    if (failure !== undefined) throw failure;
    return interrupted ? undefined : found;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.#fd);
  }

  #start(request: NetlinkRequest, flags: number): number {
    const sequence = this.#nextSequence();
    this.#writer.reset();
    this.#writer.startMessage(request.type, request.flags | flags, sequence);
    request.write(this.#writer);
    this.#writer.endMessage();
    this.#send(request.describe);
    return sequence;
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence % 0xffffffff) + 1;
    return this.#sequence;
  }

  #send(describe: () => string): void {
    if (this.#closed) throw new KernelInvalidError(describe(), "EBADF", "the netlink socket is closed");
    const bytes = this.#writer.bytes();
    if (sendTo(this.#fd, bytes, bytes.length, 0, this.#kernel, 12) < 0) throw kernelError(lastErrno(), describe());
  }

  /** Reads datagrams until `take` says it has seen the last message it waits for. */
  #receiveUntil(describe: () => string, take: (message: NetlinkMessage) => boolean): void {
    const deadlineMs = performance.now() + this.#timeoutMs;
    for (;;) {
      let finished = false;
      for (const message of parseMessages(this.#receive(describe, deadlineMs))) {
        if (take(message)) finished = true;
      }
      if (finished) return;
    }
  }

  #receive(describe: () => string, deadlineMs: number): Uint8Array {
    for (;;) {
      const count = receiveFrom(this.#fd, this.#buffer, RECEIVE_BYTES, MSG_TRUNC, this.#peer, this.#peerLength);
      if (count >= 0) {
        if (readU32(this.#peer, 4) !== 0) continue; // not from the kernel
        if (count > RECEIVE_BYTES)
          throw new NetlinkDecodeError(`${describe()}: a message of ${count} bytes does not fit`);
        return this.#buffer.subarray(0, count);
      }
      const errno = lastErrno();
      if (errno !== ERRNO.EAGAIN && errno !== ERRNO.EINTR) throw kernelError(errno, describe());
      const remainingMs = deadlineMs - performance.now();
      if (remainingMs <= 0) throw new KernelBusyError(describe(), "ETIMEDOUT", `no answer in ${this.#timeoutMs} ms`);
      waitReadable(this.#fd, Math.ceil(remainingMs));
    }
  }
}

/** The outcome in an NLMSG_ERROR or NLMSG_DONE: undefined for an acknowledgement. */
function answer(message: NetlinkMessage, describe: () => string): KernelError | undefined {
  const { payload, flags, type } = message;
  if (payload.length < 4) return undefined; // a DONE of old kernels carries no status
  const errno = -(readU32(payload, 0) | 0);
  if (errno === 0) return undefined;
  let text = "";
  if ((flags & NLM_F_ACK_TLVS) !== 0) {
    // NLMSG_ERROR repeats the request, only its header when capped, between the status and the explanation.
    const echoed = type === NLMSG_DONE ? 0 : (flags & NLM_F_CAPPED) !== 0 ? 16 : (readU32(payload, 4) + 3) & ~3;
    text = parseAttributes(payload, 4 + echoed).string(NLMSGERR_ATTR_MSG) ?? "";
  }
  return kernelError(errno, describe(), text);
}

/** struct sockaddr_nl */
function netlinkAddress(groups: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  return bytes;
}
