import type { Family } from "#shared/net/ip.ts";
import type { TableBuilder } from "#shared/nft/table-builder.ts";
import {
  ANSWERS_LIMITED,
  CONNECTIONS_LIMITED,
  FRAGMENTS_LIMITED,
  ICMP_ERRORS_LIMITED,
  NEIGHBOURS_LIMITED,
} from "./counters.ts";

/**
 * What one sender may ask of the stack, of the instance itself or of user space. Packets of flows that the fast path
 * forwards are never limited.
 */
export interface Allowance {
  /** Of the sets that senders are in. */
  readonly name: string;
  readonly perSecond: number;
  readonly burst: number;
  /** Senders that are known at a time, of each family. Those beyond share one allowance. */
  readonly senders: number;
  /** Packets a second that senders beyond that number have together. */
  readonly othersPerSecond: number;
  /** Counts what is dropped. */
  readonly counter: string;
}

/** A sender is forgotten when it has asked nothing for this long: time for its allowance to be whole again. */
const FORGET_S = 10;

/**
 * Fragments, which take memory until the rest of the packet comes: one sender alone cannot fill the room for them
 * (`REASSEMBLY` in `instance-settings.ts`), as `burst` and what comes in the time together are smaller.
 */
export const FRAGMENTS: Allowance = {
  name: "fragments",
  perSecond: 2000,
  burst: 1000,
  senders: 8192,
  othersPerSecond: 2000,
  counter: FRAGMENTS_LIMITED,
};

/** What the instance answers: echo requests, packets at the end of their hops, TCP to slots that refuse. */
export const ANSWERS: Allowance = {
  name: "answers",
  perSecond: 100,
  burst: 100,
  senders: 4096,
  othersPerSecond: 1000,
  counter: ANSWERS_LIMITED,
};

/** ICMP errors that user space translates: a tenth of what it translates at all. */
export const ICMP_ERRORS: Allowance = {
  name: "icmp-errors",
  perSecond: 100,
  burst: 100,
  senders: 4096,
  othersPerSecond: 100,
  counter: ICMP_ERRORS_LIMITED,
};

/** TCP connections to the instance's own addresses, which is where BGP listens. */
export const CONNECTIONS: Allowance = {
  name: "connections",
  perSecond: 20,
  burst: 20,
  senders: 4096,
  othersPerSecond: 100,
  counter: CONNECTIONS_LIMITED,
};

/** Answers to packets that are too big for the next link: the kernel limits other errors itself, but not these. */
const TOO_BIG: Allowance = {
  name: "too-big",
  perSecond: 100,
  burst: 200,
  senders: 4096,
  othersPerSecond: 1000,
  counter: ANSWERS_LIMITED,
};

const IS_TOO_BIG = {
  4: "icmp type destination-unreachable icmp code frag-needed @th,192,32 @quoted4",
  6: "icmpv6 type packet-too-big @th,256,128 @quoted6",
} as const;

export const IS_ECHO_REQUEST = { 4: "icmp type echo-request", 6: "icmpv6 type echo-request" } as const;

/** Where packets are from: to a VIP from outside, to the instance's own addresses from outside, or from a service network. */
export interface Side {
  /** Senders of different sides are not known together: one could use the other's name. */
  readonly side: "outside" | "link" | "inside";
  readonly family: Family;
}

/**
 * Who stands for a sender: an address. From far away, in IPv6: the 64 bits before the interface's own, which anyone may
 * choose. Of a link, those are the same for all.
 */
function senderKey({ side, family }: Side): string {
  if (family === 4) return "@nh,96,32";
  return side === "outside" ? "@nh,64,64" : "@nh,64,128";
}

const RECEIVER = { 4: "@nh,128,32", 6: "@nh,192,64" } as const;

/**
 * A chain for packets of one kind: within their sender's allowance they meet `verdict`, which ends their way; beyond it
 * they are dropped and counted. Rules that look whether an element is there must not match it: that would use it up.
 */
export function allowanceChain(
  builder: TableBuilder,
  { name, perSecond, burst, senders, othersPerSecond, counter }: Allowance,
  from: Side,
  verdict: string,
  key: string = senderKey(from),
): string {
  const set = `${name}-${from.side}${from.family}-${senders}`;
  builder.dynamic(set, "set", `typeof ${key}; size ${senders}; flags dynamic,timeout; timeout ${FORGET_S}s;`);
  return builder.chain(name, [
    `update @${set} { ${key} limit rate ${perSecond}/second burst ${burst} packets } ${verdict}`,
    `${key} != @${set} limit rate ${othersPerSecond}/second burst ${othersPerSecond} packets ${verdict}`,
    builder.count(counter),
    "drop",
  ]);
}

/**
 * Questions for a link-layer address, each of which may make an entry in the kernel's table of neighbours: that is the
 * machine's, 1,024 entries of each family for all namespaces, and takes no new one when they came within 5 s. What is
 * bounded is how many addresses ask from one link-layer address.
 */
export const NEIGHBOURS = { perSecond: 20, burst: 40, senders: 1024 } as const;
/** Addresses that have asked lately may ask on: neighbours are verified several times a second. */
const ASKERS = 2048;

/** The chain for such questions. */
export function neighbourChain(builder: TableBuilder, { side, family }: Side): string {
  const { perSecond, burst, senders } = NEIGHBOURS;
  const [address, type] = family === 4 ? ["arp saddr ip", "ipv4_addr"] : ["ip6 saddr", "ipv6_addr"];
  const asked = `asked-${side}${family}-${ASKERS}`;
  const askers = `askers-${side}${family}-${senders}`;
  const dynamic = `flags dynamic,timeout; timeout ${FORGET_S}s;`;
  builder.dynamic(asked, "set", `type ${type}; size ${ASKERS}; ${dynamic}`);
  builder.dynamic(askers, "set", `type ether_addr; size ${senders}; ${dynamic}`);
  const over = `limit rate over ${perSecond}/second burst ${burst} packets`;
  return builder.chain("neighbours", [
    `${address} @${asked} accept`,
    `update @${askers} { ether saddr ${over} } ${builder.count(NEIGHBOURS_LIMITED)} drop`,
    // Not renewed by asking on: so it is never more than came in ten seconds.
    `add @${asked} { ${address} } accept`,
    "accept",
  ]);
}

/** The chain for packets that no flow wants and that are not to a VIP, or not from one: what is for the instance itself. */
export function ownTraffic(builder: TableBuilder, from: Side): string {
  return builder.chain("own", [
    ...(from.family === 6
      ? [`icmpv6 type { nd-router-solicit, nd-neighbor-solicit } goto ${neighbourChain(builder, from)}`]
      : []),
    `${IS_ECHO_REQUEST[from.family]} goto ${allowanceChain(builder, ANSWERS, from, "accept")}`,
    `tcp flags & (syn | ack) == syn goto ${allowanceChain(builder, CONNECTIONS, from, "accept")}`,
    "accept",
  ]);
}

/** A rule for the output hook: for what is too big, the one who is answered has the allowance, as the sender may be forged. */
export function tooBigAnswers(builder: TableBuilder, family: Family): string {
  const from: Side = { side: "outside", family };
  return `${IS_TOO_BIG[family]} jump ${allowanceChain(builder, TOO_BIG, from, "return", RECEIVER[family])}`;
}
