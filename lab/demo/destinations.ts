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
  for (const { gateway, vips, ports, protocols, readyTargets } of status.services) {
    // Of a range of ports the first will do.
    const port = Number.parseInt(ports[0] ?? "", 10);
    if (readyTargets === 0 || !(port > 0)) continue;
    for (const protocol of protocols.map((name) => name.toLowerCase())) {
      if (protocol !== "tcp" && protocol !== "udp") continue;
      for (const address of vips) {
        const key = `${gateway} ${protocol} ${address.includes(":") ? 6 : 4}`;
        if (!found.has(key)) found.set(key, { gateway, protocol, address, port });
      }
    }
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, destination]) => destination);
}

export function addressAndPort({ address, port }: Pick<Destination, "address" | "port">): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
