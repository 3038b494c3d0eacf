import { formatAddress } from "../kernel/address-bytes.ts";
import { kernelError } from "../kernel/kernel-error.ts";
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
} from "../kernel/libc.ts";
import { AF_INET, AF_INET6, SOCKET_ADDRESS_BYTES, socketAddress, socketAddressIp } from "../kernel/socket-address.ts";
import { attachFilter } from "../kernel/socket-filter.ts";
import { familyOf, type Ip } from "../net/ip.ts";
import { closedFilter, neighbourFilter } from "./bfd-filter.ts";

const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0x800 | 0x80000;
const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_TCLASS = 67;
/** CS6, as routing protocols are marked. */
const NETWORK_CONTROL = 0xc0;
const EADDRINUSE = 98;

/** RFC 5881, section 4. */
const BFD_PORT = 3784;
const FIRST_SOURCE_PORT = 49_152;
const LAST_SOURCE_PORT = 65_535;
const PORT_ATTEMPTS = 16;
/** Per turn, so that a flood from the link itself starves no timer. */
const READS_PER_TURN = 64;

/** A control packet has 24 bytes; an authenticated one, which is refused, has at most 52. */
const RECEIVE_BYTES = 64;

/** Where the sessions of one own address on one interface are heard. */
export class BfdReceiver {
  readonly #fd: number;
  readonly #local: Ip;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #source = new Uint8Array(SOCKET_ADDRESS_BYTES);
  readonly #sourceLength = new Uint8Array(4);
  readonly #onPacket: (from: string, bytes: Uint8Array) => void;

  /** @throws KernelError. The bytes that `onPacket` gets are overwritten by the next packet. */
  constructor(local: Ip, device: string, onPacket: (from: string, bytes: Uint8Array) => void) {
    this.#local = local;
    this.#onPacket = onPacket;
    this.#fd = openSocket(local, device, (fd, object) => {
      attachFilter(fd, neighbourFilter(familyOf(local), []), object);
      const address = socketAddress(local, BFD_PORT);
      if (bindSocket(fd, address, address.length) < 0) throw kernelError(lastErrno(), object);
    });
  }

  /** What becomes readable when a packet has come. */
  get fd(): number {
    return this.#fd;
  }

  /** Only these are heard from now on. */
  listenTo(neighbours: readonly Ip[]): void {
    attachFilter(this.#fd, neighbourFilter(familyOf(this.#local), neighbours), `BFD socket of ${this.#local}`);
  }

  /** Reads what has come, at most a turn's share. */
  drain(): void {
    for (let reads = 0; reads < READS_PER_TURN; reads++) {
      this.#sourceLength[0] = this.#source.length;
      const count = receiveFrom(this.#fd, this.#buffer, this.#buffer.length, 0, this.#source, this.#sourceLength);
      if (count < 0) {
        const errno = lastErrno();
        if (errno === ERRNO.EINTR) continue;
        if (errno === ERRNO.EAGAIN) return;
        throw kernelError(errno, `BFD socket of ${this.#local}`);
      }
      this.#onPacket(formatAddress(socketAddressIp(this.#source)), this.#buffer.subarray(0, count));
    }
  }

  close(): void {
    closeFd(this.#fd);
  }
}

/** The sending side of one session, with a source port of its own. */
export class BfdSender {
  readonly #fd: number;
  readonly #to: Uint8Array;
  readonly #object: string;

  /** @throws KernelError. */
  constructor(local: Ip, neighbour: Ip, device: string, random: () => number) {
    this.#to = socketAddress(neighbour, BFD_PORT);
    this.#object = `BFD packet from ${local} to ${neighbour}`;
    this.#fd = openSocket(local, device, (fd, object) => {
      attachFilter(fd, closedFilter(), object);
      const [level, ttl, trafficClass] =
        familyOf(local) === 4 ? [IPPROTO_IP, IP_TTL, IP_TOS] : [IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_TCLASS];
      setOption(fd, level, ttl, intOption(255), object);
      setOption(fd, level, trafficClass, intOption(NETWORK_CONTROL), object);
      bindToFreePort(fd, local, random, object);
    });
  }

  /** @throws KernelError when the packet did not leave. */
  send(bytes: Uint8Array): void {
    if (sendTo(this.#fd, bytes, bytes.length, 0, this.#to, this.#to.length) < 0) {
      throw kernelError(lastErrno(), this.#object);
    }
  }

  close(): void {
    closeFd(this.#fd);
  }
}

function openSocket(local: Ip, device: string, prepare: (fd: number, object: string) => void): number {
  const object = `BFD socket of ${local} on ${device}`;
  const fd = socket(familyOf(local) === 4 ? AF_INET : AF_INET6, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw kernelError(lastErrno(), object);
  try {
    // A neighbour is one on this link: the same address behind another interface is somebody else.
    setOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(device), object);
    prepare(fd, object);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

function bindToFreePort(fd: number, local: Ip, random: () => number, object: string): void {
  for (let attempt = 1; ; attempt++) {
    const port = FIRST_SOURCE_PORT + Math.floor(random() * (LAST_SOURCE_PORT - FIRST_SOURCE_PORT + 1));
    const address = socketAddress(local, port);
    if (bindSocket(fd, address, address.length) >= 0) return;
    const errno = lastErrno();
    if (errno !== EADDRINUSE || attempt === PORT_ATTEMPTS) throw kernelError(errno, object);
  }
}

function setOption(fd: number, level: number, option: number, value: Uint8Array, object: string): void {
  if (setSocketOption(fd, level, option, value, value.length) < 0) throw kernelError(lastErrno(), object);
}
