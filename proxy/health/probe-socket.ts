import { getSystemErrorName } from "node:util";
import {
  closeFd,
  connectSocket,
  ERRNO,
  intOption,
  lastErrno,
  receiveFrom,
  sendTo,
  setSocketOption,
  socket,
} from "#shared/kernel/libc.ts";
import { AF_INET, AF_INET6, socketAddress } from "#shared/kernel/socket-address.ts";
import { familyOf } from "#shared/net/ip.ts";
import type { ProbeSpec } from "./probe-spec.ts";

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK_CLOEXEC = 0x800 | 0x80000;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
const SO_BINDTODEVICE = 25;
const IPPROTO_TCP = 6;
const TCP_QUICKACK = 12;
const MSG_NOSIGNAL = 0x4000;
const EISCONN = 106;
const EALREADY = 114;
const EINPROGRESS = 115;

/** Want of our own, of which the target knows nothing. */
const OWN_WANT: readonly string[] = ["EAGAIN", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL"];
const SPOKEN: readonly string[] = ["ECONNREFUSED", "ECONNRESET"];
/** On: what is unsent is dropped, and the other side gets a reset. No connection of ours waits in the kernel afterwards. */
const LINGER_NOT = new Uint8Array(new Int32Array([1, 0]).buffer);

/**
 * What came of a question. `refused`: the target has spoken, but not as it should. `undecided` says nothing of the target: it
 * was not asked.
 */
export interface Answer {
  readonly kind: "answered" | "refused" | "failed" | "undecided";
  readonly message: string;
}

const ANSWERED: Answer = { kind: "answered", message: "" };
const refused = (message: string): Answer => ({ kind: "refused", message });

/** Whoever could not even ask: an interface that is gone is out of reach, anything else is want of our own. */
export function notAsked(code: string): Answer {
  return { kind: code === "ENODEV" ? "failed" : "undecided", message: code };
}

/** What the kernel says of a packet that it should send, or that it has sent. */
export function notSent(code: string): Answer {
  const kind = OWN_WANT.includes(code) ? "undecided" : SPOKEN.includes(code) ? "refused" : "failed";
  return { kind, message: code };
}

const errnoName = (errno: number): string => getSystemErrorName(-errno);

/** The socket was not to be had; `answer` says what that means. */
export class NotAskedError extends Error {
  override readonly name = "NotAskedError";
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(answer.message);
    this.answer = answer;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");
/** Enough for a status line; one buffer for all, for whoever reads has read when the next one does. */
const received = new Uint8Array(2048);
const nobody = new Uint8Array(28);
const nobodyLength = new Uint8Array(4);

function read(fd: number): number {
  nobodyLength[0] = nobody.length;
  return receiveFrom(fd, received, received.length, 0, nobody, nobodyLength);
}

/**
 * One question to one target, by a socket of its own that is bound to the service network's interface. A TCP question is a
 * SYN, its answer, and a reset: the target's kernel has not yet told its application of it then.
 */
export class ProbeSocket {
  readonly #spec: ProbeSpec;
  readonly #address: Uint8Array;
  readonly #fd: number;
  #phase: "connecting" | "reading";

  /** @throws NotAskedError */
  constructor(spec: ProbeSpec) {
    this.#spec = spec;
    this.#address = socketAddress(spec.address, spec.port);
    this.#phase = spec.type === "UDP" ? "reading" : "connecting";
    const type = spec.type === "UDP" ? SOCK_DGRAM : SOCK_STREAM;
    this.#fd = socket(familyOf(spec.address) === 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw new NotAskedError(notAsked(errnoName(lastErrno())));
    const outcome = this.#open();
    if (outcome === undefined) return;
    this.close();
    throw new NotAskedError(outcome);
  }

  get fd(): number {
    return this.#fd;
  }

  /** Whether it waits to be writable, not to be readable. */
  get writable(): boolean {
    return this.#phase === "connecting";
  }

  /** Goes on with what has come. @returns undefined while there is no answer. */
  step(): Answer | undefined {
    if (this.#phase === "reading") return this.#read();
    const error = this.#connect();
    if (error === EALREADY || error === EINPROGRESS) return undefined;
    if (error !== 0 && error !== EISCONN) return notSent(errnoName(error));
    if (this.#spec.type === "TCP") return ANSWERED;
    this.#phase = "reading";
    return this.#send();
  }

  close(): void {
    closeFd(this.#fd);
  }

  #open(): Answer | undefined {
    const { interface: device, type } = this.#spec;
    const name = encoder.encode(device);
    if (setSocketOption(this.#fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length) < 0)
      return notAsked(errnoName(lastErrno()));
    if (type !== "UDP") {
      setSocketOption(this.#fd, SOL_SOCKET, SO_LINGER, LINGER_NOT, LINGER_NOT.length);
      // The handshake's last packet is put off, and the reset goes instead of it.
      if (type === "TCP") setSocketOption(this.#fd, IPPROTO_TCP, TCP_QUICKACK, intOption(0), 4);
    }
    const error = this.#connect();
    if (error !== 0 && error !== EINPROGRESS) return notSent(errnoName(error));
    return type === "UDP" ? this.#send() : undefined;
  }

  /** @returns 0 or the error's number. Called again it tells how far a connection is. */
  #connect(): number {
    return connectSocket(this.#fd, this.#address, this.#address.length) < 0 ? lastErrno() : 0;
  }

  #send(): Answer | undefined {
    const bytes = encoder.encode(this.#spec.payload);
    const count = sendTo(this.#fd, bytes, bytes.length, MSG_NOSIGNAL, this.#address, this.#address.length);
    return count < 0 ? notSent(errnoName(lastErrno())) : undefined;
  }

  #read(): Answer | undefined {
    const count = read(this.#fd);
    if (count < 0) {
      const errno = lastErrno();
      return errno === ERRNO.EAGAIN || errno === ERRNO.EINTR ? undefined : notSent(errnoName(errno));
    }
    const bytes = received.subarray(0, count);
    return this.#spec.type === "UDP" ? judgeDatagram(bytes, this.#spec.answer) : judgeHttp(bytes);
  }
}

export function judgeDatagram(bytes: Uint8Array, answer: string): Answer {
  const wanted = encoder.encode(answer);
  const begins = wanted.every((byte, index) => bytes[index] === byte);
  return begins ? ANSWERED : refused("another answer than spec.udp.answer");
}

/** By the status line, which every server sends in one piece (RFC 9112, section 4). */
export function judgeHttp(bytes: Uint8Array): Answer {
  if (bytes.length === 0) return refused("closed without an answer");
  const status = /^HTTP\/1\.[01] ([0-9]{3})\b/.exec(decoder.decode(bytes.subarray(0, 16)))?.[1];
  if (status === undefined) return refused("no HTTP answer");
  return /^[23]/.test(status) ? ANSWERED : refused(`HTTP status ${status}`);
}
