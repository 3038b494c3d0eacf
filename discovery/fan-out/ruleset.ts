import { shortHash } from "#shared/balance/stable-hash.ts";
import type { Cidr, Ip } from "#shared/net/ip.ts";
import { TableBuilder } from "#shared/nft/table-builder.ts";
import type { TableState } from "#shared/nft/table-state.ts";

/** A table of its own, of the family netdev: the proxy's may be beside it. */
export const TABLE = "causeway-fan-out";

/** Gateways tell each other of themselves at this group and port, by multicast that leaves no link. */
export const HELLO_GROUP = "239.255.0.1";
export const HELLO_PORT = 7399;
/** What has crossed no router, and nobody else can send (RFC 5082). */
export const HELLO_TTL = 255;

/** A network that multicast comes from and goes to. */
export interface FanOutNetwork {
  readonly name: string;
  readonly interface: string;
  readonly mac: string;
  readonly mtu: number;
  /** Of the interface's IPv4 addresses: who has one of them is on this network, and on no other. */
  readonly prefixes: readonly Cidr[];
}

/** How copies are made of what one object serves. */
export interface CopyPolicy {
  /** Lower: as a router does, and what has 1 stays. Keep: the copy has the TTL that the publisher gave it. */
  readonly ttl: "Lower" | "Keep";
  readonly packetsPerSecondPerPublisher: number;
  /** Of what is copied from one network to the same others. */
  readonly octetsPerSecond: number;
}

export interface PlannedCopy {
  readonly group: Ip;
  readonly port: number;
  /** Names of networks. */
  readonly from: string;
  readonly to: string;
  /** Another gateway makes it as soon as this one is silent: so it ends here when no hello has left for {@link FanOutIntent.leaseMs}. */
  readonly isContested: boolean;
  /** The same for all copies of one group and port. */
  readonly policy: CopyPolicy;
}

export interface FanOutIntent {
  readonly networks: readonly FanOutNetwork[];
  readonly copies: readonly PlannedCopy[];
  readonly leaseMs: number;
}

/** Names of the counters, of interfaces. */
export const counterName = {
  copied: (from: string, to: string): string => `copied-${safe(from)}-${safe(to)}`,
  /** Longer than the other network's MTU. */
  tooBig: (from: string, to: string): string => `too-big-${safe(from)}-${safe(to)}`,
  limited: (from: string): string => `limited-${safe(from)}`,
  /** With a TTL of 1. */
  stayed: (from: string): string => `stayed-${safe(from)}`,
};

const MULTICAST = "224.0.0.0/4";
/** Before the proxy's chains on the same interface. */
const PLACE = "-10";
/**
 * The largest TTL of a copy. nft 1.0.6 can write a TTL that it is told, and none that it would have to reckon: so each has
 * a chain, and few networks are more hops apart.
 */
const MOST_TTL = 31;
const ALIVE = "alive";
/** Only whole datagrams and first fragments have one: of the others, what stands there is payload. */
const HAS_PORT = "ip frag-off & 0x1fff == 0";
const NO_PORT = "ip frag-off & 0x1fff != 0";
/** How long the other fragments of a datagram follow its first one. */
const FRAGMENTS_TIMEOUT = "1s";
const MOST_FRAGMENTED = 16_384;
const MOST_PUBLISHERS = 16_384;
const PUBLISHER_TIMEOUT = "10s";
/** A quarter of a second's allowance at once: what a publisher writes in a burst. */
const BURST_PART = 4;

/** What a name may hold that nft takes for more than a name. */
const safe = (device: string): string => (/^[a-zA-Z0-9_.-]+$/.test(device) ? device : shortHash(device));

/** What the map of the groups is called that are copied from a network. */
export const groupsName = ({ interface: device }: Pick<FanOutNetwork, "interface">): string => `groups-${safe(device)}`;

/** The nftables table that makes the copies. The same intent gives the same table. */
export function ruleset(intent: FanOutIntent): TableState {
  const table = new TableBuilder("netdev", TABLE);
  if (intent.networks.length === 0) return table.finish();
  table.dynamic(ALIVE, "set", `type inet_proto; size 16; flags dynamic,timeout; timeout ${intent.leaseMs}ms;`);
  const hello = table.chain("alive", [`update @${ALIVE} { ip protocol }`]);
  const macs = [...new Set(intent.networks.map(({ mac }) => mac))].sort();
  for (const network of [...intent.networks].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const device = network.interface;
    const copies = new Copies(table, intent, network);
    const groups = groupsName(network);
    const elements = table.map(groups, "type ipv4_addr . inet_service : verdict;");
    for (const [key, chain] of copies.byGroup) elements.set(key, `goto ${chain}`);
    const natives = `{ ${network.prefixes.join(", ")} }`;
    const from = table.chain("from", [
      // Copies of ours that come back: both networks are one.
      `ether saddr { ${macs.join(", ")} } accept`,
      `${HAS_PORT} udp dport ${HELLO_PORT} ip saddr != ${natives} drop`,
      `${HAS_PORT} udp dport ${HELLO_PORT} ip ttl != ${HELLO_TTL} drop`,
      // A copy keeps its publisher's address, which is native to one network only: so no copy is ever copied.
      `ip saddr != ${natives} accept`,
      ...copies.laterFragments,
      `${NO_PORT} accept`,
      `ip daddr . udp dport vmap @${groups}`,
    ]);
    table.base(`in-${safe(device)}`, {
      hook: `type filter hook ingress device "${device}" priority ${PLACE}; policy accept;`,
      place: `ingress ${PLACE}`,
      rules: [{ match: `ip daddr ${MULTICAST}`, chain: from }],
    });
    table.base(`out-${safe(device)}`, {
      hook: `type filter hook egress device "${device}" priority ${PLACE}; policy accept;`,
      place: `egress ${PLACE}`,
      rules: [{ match: `ip daddr ${HELLO_GROUP} udp dport ${HELLO_PORT}`, chain: hello }],
    });
  }
  return table.finish();
}

/** @returns the rule that lowers a packet's TTL, which is at least 2. */
function loweredTtl(table: TableBuilder): string {
  const chains = Array.from({ length: MOST_TTL }, (_, index) => table.chain("ttl", [`ip ttl set ${index + 1}`]));
  const jumps = chains.map((chain, index) => {
    const ttl = index + 2;
    return `${ttl > MOST_TTL ? `${ttl}-255` : ttl} : jump ${chain}`;
  });
  return `ip ttl vmap { ${jumps.join(", ")} }`;
}

/** The copies of one network's multicast: a chain for each set of networks that something goes to. */
class Copies {
  readonly #table: TableBuilder;
  readonly #intent: FanOutIntent;
  readonly #from: FanOutNetwork;
  /** Chains by `group . port`. */
  readonly byGroup = new Map<string, string>();
  readonly laterFragments: readonly string[];

  constructor(table: TableBuilder, intent: FanOutIntent, from: FanOutNetwork) {
    this.#table = table;
    this.#intent = intent;
    this.#from = from;
    const fragments = new Set<string>();
    for (const [key, copies] of this.#targets()) {
      const [first] = copies;
      if (first === undefined) continue;
      const send = table.chain("send", this.#send(first.policy, copies));
      const parts = `parts-${send.slice("send-".length)}`;
      this.byGroup.set(key, table.chain("copy", this.#copy(first.policy, parts, send)));
      table.dynamic(
        parts,
        "set",
        `typeof ip saddr . ip daddr . ip id; size ${MOST_FRAGMENTED}; flags dynamic,timeout; timeout ${FRAGMENTS_TIMEOUT};`,
      );
      fragments.add(`${NO_PORT} ip saddr . ip daddr . ip id @${parts} goto ${send}`);
    }
    this.laterFragments = [...fragments].sort();
  }

  #targets(): ReadonlyMap<string, readonly PlannedCopy[]> {
    const byGroup = new Map<string, PlannedCopy[]>();
    for (const copy of this.#intent.copies) {
      if (copy.from !== this.#from.name) continue;
      const key = `${copy.group} . ${copy.port}`;
      byGroup.set(
        key,
        [...(byGroup.get(key) ?? []), copy].sort((a, b) => (a.to < b.to ? -1 : 1)),
      );
    }
    return new Map([...byGroup].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Whole datagrams and first fragments: the others have no port. */
  #copy({ ttl, packetsPerSecondPerPublisher: packets }: CopyPolicy, parts: string, send: string): string[] {
    const device = this.#from.interface;
    const publishers = `publishers-${safe(device)}-${packets}`;
    this.#table.dynamic(
      publishers,
      "set",
      `type ipv4_addr; size ${MOST_PUBLISHERS}; flags dynamic,timeout; timeout ${PUBLISHER_TIMEOUT};`,
    );
    const rate = `limit rate over ${packets}/second burst ${Math.max(1, Math.ceil(packets / BURST_PART))} packets`;
    return [
      ...(ttl === "Lower" ? [`ip ttl < 2 ${this.#table.count(counterName.stayed(device))} accept`] : []),
      `update @${publishers} { ip saddr ${rate} } ${this.#table.count(counterName.limited(device))} accept`,
      `ip frag-off & 0x2000 != 0 update @${parts} { ip saddr . ip daddr . ip id }`,
      `goto ${send}`,
    ];
  }

  #send({ ttl, octetsPerSecond: octets }: CopyPolicy, copies: readonly PlannedCopy[]): string[] {
    const { networks } = this.#intent;
    const from = this.#from.interface;
    const limited = this.#table.count(counterName.limited(from));
    return [
      // The kernel lets a second's worth come at once, and a burst besides, of which there is none.
      `limit rate over ${octets} bytes/second ${limited} accept`,
      ...(ttl === "Lower" ? [loweredTtl(this.#table)] : []),
      ...copies.flatMap(({ to: name, isContested }) => {
        const to = networks.find((network) => network.name === name);
        if (to === undefined) return [];
        const device = to.interface;
        const isNarrow = to.mtu < this.#from.mtu;
        const guard = isContested ? `ip protocol @${ALIVE} ` : "";
        const fits = isNarrow ? `ip length <= ${to.mtu} ` : "";
        const copied = this.#table.count(counterName.copied(from, device));
        // From our own address on the link: its switches learn where we are, and let nobody else's pass.
        const copy = `${guard}${fits}ether saddr set ${to.mac} ${copied} dup to "${device}"`;
        if (!isNarrow) return [copy];
        return [copy, `${guard}ip length > ${to.mtu} ${this.#table.count(counterName.tooBig(from, device))}`];
      }),
    ];
  }
}
