import type { LabStatus } from "../lab-status.ts";

/** A VIP and port that clients can call. */
export interface Destination {
  readonly gateway: string;
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
}

/** One destination for each Gateway, protocol and address family: the first service that has targets. Pure. */
export function destinations(status: Pick<LabStatus, "services">): Destination[] {
  const found = new Map<string, Destination>();
  for (const { gateway, vips, port, protocol, targets } of status.services) {
    const name = protocol.toLowerCase();
    // A range of ports may be any of them; its first will do.
    const number = typeof port === "number" ? port : Number.parseInt(port, 10);
    if (targets.length === 0 || (name !== "tcp" && name !== "udp") || !(number > 0)) continue;
    for (const address of vips) {
      const key = `${gateway} ${name} ${address.includes(":") ? 6 : 4}`;
      if (!found.has(key)) found.set(key, { gateway, protocol: name, address, port: number });
    }
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, destination]) => destination);
}

export function addressAndPort({ address, port }: Pick<Destination, "address" | "port">): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
