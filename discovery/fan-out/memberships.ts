import { createSocket, type Socket } from "node:dgram";
import type { Ip } from "#shared/net/ip.ts";

/** A group that an interface is to receive. */
export interface Membership {
  readonly group: Ip;
  /** One of the interface's own addresses. */
  readonly address: Ip;
  /** An interface that went and came back is another one, and has to join anew. */
  readonly ifindex: number;
}

const keyOf = ({ group, address, ifindex }: Membership): string => `${ifindex} ${address} ${group}`;

/**
 * Keeps interfaces members of groups (IGMP), so that switches send these groups to us. A socket for each: the kernel allows
 * 20 memberships of one. They are bound to ports where nothing comes, so no traffic is copied to the process. The kernel
 * leaves the groups when the process ends.
 */
export class Memberships {
  readonly #sockets = new Map<string, Socket>();
  readonly #failed: (error: Error) => void;

  /** @param failed called when a group could not be joined; it is tried again when it is wanted the next time. */
  constructor(failed: (error: Error) => void) {
    this.#failed = failed;
  }

  want(memberships: Iterable<Membership>): void {
    const wanted = new Map([...memberships].map((membership) => [keyOf(membership), membership]));
    for (const key of this.#sockets.keys()) if (!wanted.has(key)) this.#leave(key);
    for (const [key, membership] of wanted) if (!this.#sockets.has(key)) this.#join(key, membership);
  }

  #join(key: string, { group, address }: Membership): void {
    const socket = createSocket("udp4");
    this.#sockets.set(key, socket);
    const fail = (cause: unknown): void => {
      this.#leave(key);
      this.#failed(new Error(`cannot join ${group} at ${address}`, { cause }));
    };
    socket.on("error", fail);
    socket.bind({ address, port: 0 }, () => {
      try {
        socket.addMembership(group, address);
      } catch (error) {
        fail(error);
      }
    });
  }

  #leave(key: string): void {
    this.#sockets.get(key)?.close();
    this.#sockets.delete(key);
  }

  close(): void {
    for (const key of [...this.#sockets.keys()]) this.#leave(key);
  }
}
