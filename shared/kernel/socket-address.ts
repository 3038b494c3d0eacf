import { addressBytes } from "./address-bytes.ts";
import { interfaceIndex } from "./libc.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
/** Room for either. */
export const SOCKET_ADDRESS_BYTES = 28;

/**
 * struct sockaddr_in or sockaddr_in6.
 * @param address A link-local one has its zone, `fe80::1%net1`; the kernel takes no other one without an interface.
 */
export function socketAddress(address: string, port: number): Uint8Array {
  const [bare = "", zone] = address.split("%");
  const ip = addressBytes(bare);
  const isV4 = ip.length === 4;
  const bytes = new Uint8Array(isV4 ? 16 : SOCKET_ADDRESS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isV4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  bytes.set(ip, isV4 ? 4 : 8);
  if (zone !== undefined && !isV4) view.setUint32(24, interfaceIndex(zone), true);
  return bytes;
}

/** The address in a struct sockaddr_in or sockaddr_in6. */
export function socketAddressIp(bytes: Uint8Array): Uint8Array {
  return bytes[0] === AF_INET ? bytes.subarray(4, 8) : bytes.subarray(8, 24);
}
