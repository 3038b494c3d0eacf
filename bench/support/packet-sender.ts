import koffi from "koffi";
import { kernelError } from "#shared/kernel/kernel-error.ts";
import { addressOf, closeFd, intOption, lastErrno, setSocketOption, socket } from "#shared/kernel/libc.ts";
import { withNetns } from "#shared/kernel/network-namespace.ts";

// koffi types a foreign function as taking and returning `any`; the annotations here are the boundary.
const library = koffi.load(null);
const sendMessages: (fd: number, messages: Uint8Array, count: number, flags: number) => number = library.func(
  "int sendmmsg(int fd, void *messages, unsigned int count, int flags)",
);
const bindTo: (fd: number, address: Uint8Array, length: number) => number = library.func(
  "int bind(int fd, void *address, int length)",
);
const interfaceIndex: (name: string) => number = library.func("unsigned int if_nametoindex(const char *name)");
const setAffinity: (pid: number, size: number, mask: Uint8Array) => number = library.func(
  "int sched_setaffinity(int pid, size_t size, void *mask)",
);

const clockGetTime: (clock: number, time: Uint8Array) => number = library.func("int clock_gettime(int id, void *time)");

const CLOCK_THREAD_CPUTIME_ID = 3;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_PACKET = 263;
const PACKET_QDISC_BYPASS = 20;
/** Bytes of `struct mmsghdr` and `struct iovec` on 64-bit Linux. */
const MESSAGE = 64;
const VECTOR = 16;

/** Frames in one call: what the kernel takes at most. */
export const BURST = 1024;
/** Bytes of the smallest frame, without its checksum. */
const FRAME = 64;

/** Keeps the calling thread on one core, where the packets that it sends are then forwarded, too. */
export function pinTo(core: number): void {
  const mask = new Uint8Array(128);
  mask[core >> 3] = 1 << (core & 7);
  if (setAffinity(0, mask.length, mask) < 0) throw kernelError(lastErrno(), `core ${core}`, "", "the core");
}

/** Nanoseconds of CPU that this thread has used: to the nanosecond, where getrusage(2) goes by the tick. */
export function threadCpuNs(): number {
  const time = new DataView(new ArrayBuffer(16));
  if (clockGetTime(CLOCK_THREAD_CPUTIME_ID, new Uint8Array(time.buffer)) < 0)
    throw kernelError(lastErrno(), "the thread's CPU clock", "", "the clock");
  return Number(time.getBigInt64(0, true)) * 1e9 + Number(time.getBigInt64(8, true));
}

/** {@link BURST} frames in memory, ready for `sendmmsg`. */
export class FrameBatch {
  /** Of each frame, without its checksum. */
  readonly frameBytes: number;
  readonly frames: Uint8Array;
  readonly messages = new Uint8Array(BURST * MESSAGE);
  /** Pointed to by `messages`: kept for as long. */
  readonly vectors = new Uint8Array(BURST * VECTOR);

  constructor(frameBytes = FRAME) {
    this.frameBytes = frameBytes;
    this.frames = new Uint8Array(BURST * frameBytes);
    const messages = new DataView(this.messages.buffer);
    const vectors = new DataView(this.vectors.buffer);
    const framesAt = addressOf(this.frames);
    const vectorsAt = addressOf(this.vectors);
    for (let i = 0; i < BURST; i++) {
      vectors.setBigUint64(i * VECTOR, framesAt + BigInt(i * frameBytes), true);
      vectors.setBigUint64(i * VECTOR + 8, BigInt(frameBytes), true);
      messages.setBigUint64(i * MESSAGE + 16, vectorsAt + BigInt(i * VECTOR), true); // msg_iov
      messages.setBigUint64(i * MESSAGE + 24, 1n, true); // msg_iovlen
    }
  }
}

/** Puts frames on an interface of another network namespace, past its queueing discipline. */
export class PacketSender {
  readonly #fd: number;
  readonly #object: string;

  constructor(netns: string, device: string) {
    this.#object = `packet socket on ${device} in ${netns}`;
    this.#fd = withNetns(netns, () => {
      // Protocol 0: the socket receives nothing.
      const fd = socket(AF_PACKET, SOCK_RAW, 0);
      if (fd < 0) throw kernelError(lastErrno(), this.#object, "", "CAP_NET_RAW");
      const address = new DataView(new ArrayBuffer(20));
      address.setUint16(0, AF_PACKET, true);
      address.setInt32(4, interfaceIndex(device), true);
      const bound = bindTo(fd, new Uint8Array(address.buffer), 20);
      if (bound < 0 || setSocketOption(fd, SOL_PACKET, PACKET_QDISC_BYPASS, intOption(1), 4) < 0) {
        const errno = lastErrno();
        closeFd(fd);
        throw kernelError(errno, this.#object, "", "CAP_NET_RAW");
      }
      return fd;
    });
  }

  /** Sends a batch and returns when every packet of it has been forwarded: nanoseconds of this thread's CPU. */
  send(batch: FrameBatch): number {
    const before = threadCpuNs();
    const sent = sendMessages(this.#fd, batch.messages, BURST, 0);
    const used = threadCpuNs() - before;
    if (sent !== BURST)
      throw kernelError(lastErrno(), this.#object, `${sent} of ${BURST} frames went out`, "CAP_NET_RAW");
    return used;
  }

  close(): void {
    closeFd(this.#fd);
  }
}
