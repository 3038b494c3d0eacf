import type { Family, Ip } from "#shared/net/ip.ts";
import { ipToBigInt } from "#shared/net/ip.ts";
import { BURST, type FrameBatch } from "./packet-sender.ts";

export interface Stream {
  readonly family: Family;
  readonly destinationMac: string;
  readonly vip: Ip;
  readonly flows: number;
  /** Packets go to `services` ports from this one on, in turn. */
  readonly firstPort: number;
  readonly services: number;
  /** UDP by default. TCP: segments of flows under way, of frames of 80 bytes or more. */
  readonly protocol?: "TCP" | "UDP";
}

const NUMBER = { TCP: 6, UDP: 17 } as const;
const ACK = 0x10;

/**
 * Fills a batch with frames of the flows from `first` on (modulo the number of flows). Each flow has a source
 * address and a source port of its own.
 */
export function fill(batch: FrameBatch, stream: Stream, first: number): void {
  const view = new DataView(batch.frames.buffer);
  const mac = stream.destinationMac.split(":").map((byte) => Number.parseInt(byte, 16));
  const vip = ipToBigInt(stream.vip);
  const protocol = stream.protocol ?? "UDP";
  const bytes = batch.frameBytes;
  for (let i = 0; i < BURST; i++) {
    const flow = (first + i) % stream.flows;
    const at = i * bytes;
    batch.frames.set(mac, at);
    const header = at + 14;
    const transport = header + (stream.family === 4 ? 20 : 40);
    const length = bytes - (transport - at);
    if (stream.family === 4) {
      view.setUint16(at + 12, 0x0800);
      view.setUint32(header, 0x45000000 + 20 + length);
      view.setUint32(header + 4, 0x00004000); // don't fragment
      view.setUint32(header + 8, 0x40000000 + (NUMBER[protocol] << 16)); // 64 hops
      view.setUint32(header + 12, 0xc6120000 + flow); // 198.18.0.0/15: RFC 2544
      view.setUint32(header + 16, Number(vip));
      view.setUint16(header + 10, headerChecksum(view, header));
    } else {
      view.setUint16(at + 12, 0x86dd);
      view.setUint32(header, 0x60000000);
      view.setUint32(header + 4, (length << 16) | (NUMBER[protocol] << 8) | 0x40); // 64 hops
      view.setBigUint64(header + 8, 0x2001_0002_0000_0000n); // 2001:2::/48: RFC 5180
      view.setBigUint64(header + 16, BigInt(flow));
      view.setBigUint64(header + 24, vip >> 64n);
      view.setBigUint64(header + 32, vip & 0xffff_ffff_ffff_ffffn);
    }
    view.setUint16(transport, 1024 + ((flow * 7919) % 64000));
    view.setUint16(transport + 2, stream.firstPort + (flow % stream.services));
    // Nobody checks the sum on the way; being there, NAT has to update it.
    if (protocol === "UDP") {
      view.setUint16(transport + 4, length);
      view.setUint16(transport + 6, 0x1234);
    } else {
      view.setUint16(transport + 12, 0x5000 | ACK);
      view.setUint16(transport + 16, 0x1234);
    }
  }
}

/** RFC 791: the complement of the ones' complement sum of the header's 16-bit words. */
function headerChecksum(view: DataView, header: number): number {
  let sum = 0;
  for (let offset = 0; offset < 20; offset += 2) sum += offset === 10 ? 0 : view.getUint16(header + offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
