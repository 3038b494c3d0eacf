import { addressBytes } from "./address-bytes.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
/** Room for either. */
export const SOCKET_ADDRESS_BYTES = 28;

/** struct sockaddr_in or sockaddr_in6. */
export function socketAddress(address: string, port: number): Uint8Array {
  const ip = addressBytes(address);
  const isV4 = ip.length === 4;
  const bytes = new Uint8Array(isV4 ? 16 : SOCKET_ADDRESS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isV4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  bytes.set(ip, isV4 ? 4 : 8);
  return bytes;
}

/** The address in a struct sockaddr_in or sockaddr_in6. */
export function socketAddressIp(bytes: Uint8Array): Uint8Array {
  return bytes[0] === AF_INET ? bytes.subarray(4, 8) : bytes.subarray(8, 24);
}
