import { familyOf, type Ip, parseIp } from "./ip.ts";

/** An address and a port. */
export interface Endpoint {
  readonly address: Ip;
  readonly port: number;
}

/** Reads `ADDRESS:PORT`, with an IPv6 address in brackets; undefined when it is none. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  const address = parseIp(match?.[1] ?? match?.[2] ?? "");
  const port = Number(match?.[3]);
  return address === undefined || port > 65535 ? undefined : { address, port };
}

/** What {@link parseEndpoint} reads. */
export const endpointText = ({ address, port }: Endpoint): string =>
  familyOf(address) === 4 ? `${address}:${port}` : `[${address}]:${port}`;
