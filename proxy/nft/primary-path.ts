import { RETURN_MARK } from "#shared/instance/marks.ts";
import { FAMILIES, type Family } from "#shared/net/ip.ts";
import { SLOT } from "#shared/nft/slot-key.ts";
import type { TableBuilder } from "#shared/nft/table-builder.ts";
import type { Intent, Leg } from "#shared/resolve/intent-types.ts";
import { isPrimary } from "#shared/resolve/primary-network.ts";
import { ANSWERS, allowanceChain } from "./allowances.ts";
import { TRACKED_FULL, TRACKED_INVALID, TRACKED_LOCAL } from "./counters.ts";
import { packetFields, protocolName } from "./match.ts";

/*
 * The way to ordinary Services' targets, on the network that every pod has (decision 024). The ingress hook chooses the leg
 * as it always does, and leaves the packet to the stack. There the connection is tracked: so the reply comes back to this
 * instance, and finds its client. Nothing else on our interfaces is tracked.
 */

/** Where the slow path's own marks are given while connections are tracked: before it is decided what is. */
export const BEFORE_TRACKING = -310;
const TRACKING = -300;
/** After the lookup of connections (-200), before addresses are translated (-100). */
const TRACKED = -149;

/**
 * Ports that replies come back to. Below those of the kernel's own sockets (from 32768) and above whatever listens in an
 * instance: so a reply is told from the instance's own traffic where targets are reached by an external interface.
 */
const RETURN_PORTS = { from: 10240, to: 32767 } as const;

/**
 * Connections are counted in so many parts, as to count those of one takes a time in proportion. Which part is a hash of
 * addresses and ports.
 */
export const TRACKED_PARTS = { count: 512, seed: 0x2545f491 } as const;

const NFPROTO = { 4: "ipv4", 6: "ipv6" } as const;
const ADDRESS = { 4: "ip", 6: "ip6" } as const;
const IS_ERROR = {
  4: "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
  6: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
} as const;
const RETURN = `meta mark set 0x${RETURN_MARK.toString(16)} accept`;
/** Segments that fit the next network: packets are larger on the one side than on the other. */
const CLAMP = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu";

/** @param external and `both`: names of interfaces, as nft writes a set. */
export function primaryPath(
  builder: TableBuilder,
  intent: Intent,
  names: { readonly external: string; readonly service: string; readonly both: string },
): void {
  const legs = [...intent.legs.values()].filter(isPrimary);
  const { external, service, both } = names;
  const hook = (
    name: string,
    kind: "filter" | "nat" | "route",
    place: string,
    rules: readonly { readonly match: string; readonly chain: string }[],
  ): void => {
    const [at, priority] = place.split(" ");
    builder.base(name, { hook: `type ${kind} hook ${at} priority ${priority}; policy accept;`, place, rules });
  };
  const fromVip = (family: Family, match: string): string =>
    `meta nfproto ${NFPROTO[family]} ct original ${ADDRESS[family]} daddr @vips${family}${match === "" ? "" : ` ${match}`}`;

  const untracked = builder.chain("untracked", ["notrack"]);
  hook("track", "filter", `prerouting ${TRACKING}`, [
    { match: `iifname ${external}`, chain: trackedChain(builder, legs) },
    { match: `iifname ${service}`, chain: untracked },
  ]);
  hook("track-own", "filter", `output ${TRACKING}`, [
    { match: `oifname ${both}`, chain: untracked },
    ...FAMILIES.map((family) => ({ match: `${ADDRESS[family]} saddr @vips${family}`, chain: untracked })),
  ]);
  const back = builder.chain("tracked-back", [RETURN]);
  hook("tracked", "filter", `prerouting ${TRACKED}`, [
    ...FAMILIES.map((family) => ({ match: fromVip(family, "ct direction reply"), chain: back })),
    ...FAMILIES.map((family) => ({
      match: `iifname ${external} meta nfproto ${NFPROTO[family]}`,
      chain: judge(builder, intent, family),
    })),
  ]);
  hook("translate", "nat", "prerouting -100", [
    ...FAMILIES.map((family) => ({
      match: `iifname ${external} meta nfproto ${NFPROTO[family]}`,
      chain: translation(builder, legs, family),
    })),
  ]);
  const { from, to } = RETURN_PORTS;
  const masquerade = builder.chain("masquerade", [
    `meta l4proto { tcp, udp } masquerade to :${from}-${to} fully-random`,
  ]);
  hook(
    "draw-replies",
    "nat",
    "postrouting 100",
    FAMILIES.map((family) => ({ match: fromVip(family, "ct status dnat"), chain: masquerade })),
  );
  hook(
    "replies",
    "filter",
    "forward 10",
    FAMILIES.map((family) => ({
      match: fromVip(family, "ct direction reply"),
      chain: builder.chain("clamp", [CLAMP]),
    })),
  );
  // An error of our own making about a packet to a target: it goes to the client, by way of the routers.
  hook(
    "tracked-errors",
    "route",
    "output -149",
    FAMILIES.map((family) => ({ match: fromVip(family, "ct direction reply"), chain: back })),
  );
  // Whoever writes EndpointSlices must not reach what listens in the instance itself.
  hook(
    "own-ports",
    "filter",
    "input 0",
    FAMILIES.map((family) => ({
      match: fromVip(family, "ct direction original ct status dnat"),
      chain: builder.chain("own-port", [builder.count(TRACKED_LOCAL), "drop"]),
    })),
  );
}

/** What a packet to a target meets in the forward hook, after its leg was counted. */
export function forwardToPrimary({ protocol }: Leg): readonly string[] {
  return protocol === "TCP" ? [CLAMP] : [];
}

/** Of what comes from outside: packets to ordinary Services' targets, their replies where they come this way, and ICMP errors. */
function trackedChain(builder: TableBuilder, legs: readonly Leg[]): string {
  const marks = builder.map("tracked-legs", "type mark : verdict;");
  for (const leg of legs) marks.set(String(leg.id), "accept");
  const { from, to } = RETURN_PORTS;
  return builder.chain("track", [
    "meta mark vmap @tracked-legs",
    ...FAMILIES.map((family) => `${IS_ERROR[family]} accept`),
    ...FAMILIES.map(
      (family) => `${ADDRESS[family]} daddr != @vips${family} meta l4proto { tcp, udp } th dport ${from}-${to} accept`,
    ),
    "notrack",
  ]);
}

/** Packets from clients whose connection has been looked up. */
function judge(builder: TableBuilder, { maxConnections }: Intent, family: Family): string {
  const { count, seed } = TRACKED_PARTS;
  const each = Math.ceil(maxConnections / count);
  // An element keeps the bound with which it was made, so the name tells it; such elements can have no timeout.
  const counts = `tracked${family}-${each}`;
  builder.dynamic(counts, "set", `typeof ${SLOT}; size ${count}; flags dynamic;`);
  const { addresses } = packetFields(family).hashed;
  const part = `jhash ${addresses} . th sport . th dport mod ${count} seed 0x${seed.toString(16)}`;
  const reset = allowanceChain(builder, ANSWERS, { side: "outside", family }, "reject with tcp reset");
  const full = builder.chain("tracked-full", [builder.count(TRACKED_FULL), "drop"]);
  return builder.chain(`judge${family}`, [
    "ct state untracked accept",
    // Known: it stays with its target, whoever owns the slot by now. Errors about it as well.
    "ct mark != 0x0 meta mark set ct mark accept",
    `meta l4proto ${family === 4 ? "icmp" : "ipv6-icmp"} accept`,
    // It began at another instance, or its target is gone: the client is told, and nothing is remembered.
    `tcp flags & (fin | syn | rst | ack) != syn goto ${reset}`,
    `ct state invalid ${builder.count(TRACKED_INVALID)} drop`,
    `add @${counts} { ${part} ct count over ${each} } goto ${full}`,
    "ct mark set meta mark accept",
  ]);
}

/** Only the first packet of a connection comes here. */
function translation(builder: TableBuilder, legs: readonly Leg[], family: Family): string {
  const elements = builder.map(`translate${family}`, "type mark : verdict;");
  for (const { id, addresses, port, protocol } of legs) {
    const address = addresses[family];
    if (address === undefined || protocol === undefined) continue;
    const bracketed = family === 4 || port === undefined ? address : `[${address}]`;
    const to = `${bracketed}${port === undefined ? "" : `:${port}`}`;
    const rule = `meta l4proto ${protocolName(protocol)} dnat ${ADDRESS[family]} to ${to}`;
    elements.set(String(id), `goto ${builder.chain("translate", [rule])}`);
  }
  return builder.chain(`translate${family}`, [`meta mark vmap @translate${family}`]);
}
