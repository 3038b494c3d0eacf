import { kernelError } from "#shared/kernel/kernel-error.ts";
import { closeFd, lastErrno, sendTo, socket } from "#shared/kernel/libc.ts";
import { withNetns } from "#shared/kernel/network-namespace.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;

/** Sends whole Ethernet frames on an interface, past the stack of its network namespace. */
export class FrameSender implements Disposable {
  readonly #fd: number;
  readonly #address = new Uint8Array(20); // struct sockaddr_ll

  constructor(netns: string, ifindex: number) {
    // Protocol 0: the socket receives nothing.
    this.#fd = withNetns(netns, () => socket(AF_PACKET, SOCK_RAW, 0));
    if (this.#fd < 0) throw kernelError(lastErrno(), `packet socket in ${netns}`);
    const view = new DataView(this.#address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setInt32(4, ifindex, true);
  }

  send(frame: Uint8Array): void {
    const { length } = this.#address;
    if (sendTo(this.#fd, frame, frame.length, 0, this.#address, length) < 0) {
      throw kernelError(lastErrno(), "packet socket");
    }
  }

  [Symbol.dispose](): void {
    closeFd(this.#fd);
  }
}

const macBytes = (mac: string): number[] => mac.split(":").map((byte) => Number.parseInt(byte, 16));
const ipv4Bytes = (address: string): number[] => address.split(".").map(Number);

/** An ARP request (RFC 826), sent to the one that it asks. */
export function arpRequest(from: { mac: string; address: string }, to: { mac: string; address: string }): Uint8Array {
  return Uint8Array.from([
    ...macBytes(to.mac),
    ...macBytes(from.mac),
    ...[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
    ...macBytes(from.mac),
    ...ipv4Bytes(from.address),
    ...[0, 0, 0, 0, 0, 0],
    ...ipv4Bytes(to.address),
  ]);
}
