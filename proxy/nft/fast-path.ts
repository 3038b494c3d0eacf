import { ICMP_MARK, RETURN_MARK } from "#shared/instance/marks.ts";
import { FAMILIES, type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import { TableBuilder } from "#shared/nft/table-builder.ts";
import type { TableState } from "#shared/nft/table-state.ts";
import { type Intent, type Leg, REFUSED } from "#shared/resolve/intent-types.ts";
import { isPrimary } from "#shared/resolve/primary-network.ts";
import { accepts, keeps, type Moves, NO_MOVES } from "../moves/moves.ts";
import {
  ANSWERS,
  allowanceChain,
  FRAGMENTS,
  ICMP_ERRORS,
  IS_ECHO_REQUEST,
  neighbourChain,
  ownTraffic,
  type Side,
} from "./allowances.ts";
import { counterName, REFUSED_COUNTER, SLOW, UNMATCHED } from "./counters.ts";
import { dispatch } from "./dispatch.ts";
import { type Environment, largestMtu, smallestMtu } from "./environment.ts";
import { type Finish, keptMap } from "./kept-flows.ts";
import { packetFields, quotedFields } from "./match.ts";
import { forwardTranslation, returnTranslations } from "./return-translation.ts";
import { TABLE } from "./table-name.ts";

const IS_ICMP_ERROR = {
  4: "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
  6: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
} as const;

const IS_ECHO_REPLY = { 4: "icmp type echo-reply", 6: "icmpv6 type echo-reply" } as const;

/** Families in the words of nftables. */
export const IP = { 4: "ip", 6: "ip6" } as const;

/**
 * The fast path: the netdev ingress hook, before the stack. Packets from outside are dispatched, hashed and handed to
 * their target's neighbour; replies are handed to a router. What the hook cannot treat right (fragments, packets over
 * the next link's MTU, packets at the end of their hops) goes to the stack, where the slow path takes it.
 */
export function fastPath(
  intent: Intent,
  environment: Environment,
  moves: Moves = NO_MOVES,
  before?: TableState,
): TableState {
  const builder = new TableBuilder("netdev", TABLE, before);
  const outside = FAMILIES.map(
    (family) => [family, externalChain(builder, intent, environment, moves, family)] as const,
  );
  const inside = FAMILIES.map((family) => [family, serviceChain(builder, intent, environment, family)] as const);
  const hook = (device: string, side: Side["side"], chains: typeof outside): void => {
    if (!environment.interfaces.has(device)) return;
    builder.base(`ingress-${device}`, {
      hook: `type filter hook ingress device "${device}" priority 0; policy accept;`,
      place: "ingress 0",
      rules: [
        ...chains.map(([family, chain]) => ({ match: `meta protocol ${IP[family]}`, chain })),
        { match: "arp operation request", chain: neighbourChain(builder, { side, family: 4 }) },
      ],
    });
  };
  for (const device of intent.externalInterfaces) hook(device, "link", outside);
  for (const { interface: device } of intent.serviceNetworks) hook(device, "inside", inside);
  // After what is moved of them: where a change takes several transactions, the exception comes before the rule.
  for (const [name, table] of intent.tables) builder.lut(name, table.slots);
  return builder.finish();
}

/** GRO hands the hook packets far over any MTU: the guard stands only where the next link's is the smaller one. */
function tooLarge(builder: TableBuilder, mtu: number | undefined): string[] {
  return mtu === undefined ? [] : [`meta length > ${mtu} ${builder.count(SLOW)} accept`];
}

/*
 * What must go to the stack whatever it is. Raw header fields, and masks where nft would compare: each packet passes here,
 * and nft adds no test of the family, which is known already.
 */

function fragmentGuard(builder: TableBuilder, from: Side): string {
  // A search through IPv6's extension headers costs as much as three rules: not where TCP or UDP comes first.
  const match = from.family === 4 ? "@nh,48,16 & 0x3fff != 0" : "@nh,48,8 != 17 @nh,48,8 != 6 exthdr frag exists";
  return `${match} goto ${allowanceChain(builder, FRAGMENTS, from, `${builder.count(SLOW)} accept`)}`;
}

/** Less than two hops left. */
function hopsGuard(builder: TableBuilder, intent: Intent, from: Side): string {
  const { side, family } = from;
  const match = `@nh,${family === 4 ? 64 : 56},8 & 0xfe == 0`;
  const slow = `${builder.count(SLOW)} accept`;
  if (side === "inside") return `${match} ${slow}`;
  const last = builder.chain("last-hop", [
    // To the instance itself: routers on the link speak BGP so.
    `${IP[family]} daddr != ${vips(builder, intent, family)} ${slow}`,
    `goto ${allowanceChain(builder, ANSWERS, from, slow)}`,
  ]);
  return `${match} goto ${last}`;
}

function vips(builder: TableBuilder, intent: Intent, family: Family): string {
  const own = intent.vips.filter((vip) => familyOf(vip) === family);
  builder.set(`vips${family}`, `type ${family === 4 ? "ipv4_addr" : "ipv6_addr"};`, own);
  return `@vips${family}`;
}

/** The MTU of a service network, where packets from outside can be larger. */
function innerMtu(intent: Intent, environment: Environment, device: string): number | undefined {
  const inner = smallestMtu(environment, [device]);
  return inner !== undefined && inner < largestMtu(environment, intent.externalInterfaces) ? inner : undefined;
}

/**
 * The chain that sends a packet to a leg, and counts it. A packet that is too large goes to the stack with the leg's mark:
 * which leg it is may be known here only.
 */
function legChain(builder: TableBuilder, intent: Intent, environment: Environment, leg: Leg, family: Family): string {
  // Counted in the stack, where it is known whether the connection has another leg.
  if (isPrimary(leg)) return builder.chain("primary", ["accept"]);
  const address = leg.addresses[family];
  const count = builder.count(counterName("leg", leg.key));
  const nextHop = address === undefined ? undefined : (environment.nextHops.get(address) ?? address);
  if (nextHop === undefined || !environment.interfaces.has(leg.interface)) return builder.chain("leg", [count, "drop"]);
  return builder.chain("leg", [
    ...tooLarge(builder, innerMtu(intent, environment, leg.interface)),
    count,
    ...forwardTranslation(intent, leg, family),
    `fwd ${IP[family]} to ${nextHop} device "${leg.interface}"`,
  ]);
}

function externalChain(
  builder: TableBuilder,
  intent: Intent,
  environment: Environment,
  moves: Moves,
  family: Family,
): string {
  if (intent.flowKeeping.mode === "On") keptMap(builder, intent, family);
  const { name, elements: legs } = builder.sizedMap(`legs${family}`, "mark", intent.legs.size + 1);
  for (const leg of intent.legs.values()) {
    legs.set(String(leg.id), `goto ${legChain(builder, intent, environment, leg, family)}`);
  }
  // A map of its own, though it often holds all legs: what a leg's state changes is an element, not the chains that ask.
  const only = (of: string, given: (leg: Leg) => boolean): string => {
    const some = builder.map(`${of}-legs${family}`, "type mark : verdict;");
    for (const leg of intent.legs.values()) {
      const verdict = legs.get(String(leg.id));
      if (given(leg) && verdict !== undefined) some.set(String(leg.id), verdict);
    }
    return `meta mark vmap @${of}-legs${family}`;
  };
  const from: Side = { side: "outside", family };
  const reset = allowanceChain(builder, ANSWERS, from, "reject with tcp reset");
  const refused = builder.chain("refused", [builder.count(REFUSED_COUNTER), `meta l4proto tcp goto ${reset}`, "drop"]);
  legs.set(String(REFUSED), `goto ${refused}`);
  const toLeg: Finish = {
    slot: `meta mark vmap @${name}`,
    kept: (flowClass) =>
      // Connections stay at every leg that is there.
      flowClass === "connection" ? `meta mark vmap @${name}` : only(flowClass, (leg) => keeps(leg, flowClass)),
    get accepting() {
      return only("accepting", accepts);
    },
  };
  // In NAT mode an error must be translated inside as well, which takes user space: it is delivered locally.
  const errors =
    intent.mode === "NAT"
      ? `goto ${allowanceChain(builder, ICMP_ERRORS, from, "accept")}`
      : `goto ${builder.chain("errors", [...dispatch(builder, intent, family, quotedFields(family), toLeg, moves), "accept"])}`;
  return builder.chain(`external${family}`, [
    fragmentGuard(builder, from),
    hopsGuard(builder, intent, from),
    ...dispatch(builder, intent, family, packetFields(family), toLeg, moves),
    `${IP[family]} daddr != ${vips(builder, intent, family)} goto ${ownTraffic(builder, { side: "link", family })}`,
    `${IS_ICMP_ERROR[family]} ${errors}`,
    `${IS_ECHO_REQUEST[family]} goto ${allowanceChain(builder, ANSWERS, from, "accept")}`,
    builder.count(UNMATCHED),
    "drop",
  ]);
}

/** Where replies leave: straight to a router, or through the stack and its routes. */
function replyRules(builder: TableBuilder, intent: Intent, environment: Environment, family: Family): string[] {
  const routed = [`meta mark set 0x${RETURN_MARK.toString(16)} accept`];
  const routers = environment.returnVia[family];
  const [first, ...more] = routers;
  if (first === undefined || routers.some((router) => !environment.interfaces.has(router.interface))) return routed;
  const send = (router: typeof first): string => `fwd ${IP[family]} to ${router.nextHop} device "${router.interface}"`;
  if (more.length === 0) return [send(first)];
  const chains = routers.map((router, index) => `${index} : goto ${builder.chain("router", [send(router)])}`);
  const tuple = [`${IP[family]} saddr`, `${IP[family]} daddr`, "th sport", "th dport"].join(" . ");
  return [
    `meta mark set jhash ${tuple} mod ${routers.length} seed 0x${intent.hashSeed.toString(16)}`,
    `meta mark vmap { ${chains.join(", ")} }`,
    ...routed,
  ];
}

/**
 * A VIP that answers the instance itself, which asks new targets (proxy/arrivals). By a set, so that the chain is the same on
 * all instances.
 */
function echoReplies(builder: TableBuilder, own: readonly Ip[], from: Side): string[] {
  const { family } = from;
  if (own.length === 0) return [];
  builder.set(`own${family}`, `type ${family === 4 ? "ipv4_addr" : "ipv6_addr"};`, own);
  return [`${IS_ECHO_REPLY[family]} ${IP[family]} daddr @own${family} goto ${ownTraffic(builder, from)}`];
}

function serviceChain(builder: TableBuilder, intent: Intent, environment: Environment, family: Family): string {
  const outer = smallestMtu(environment, intent.externalInterfaces);
  const services = intent.serviceNetworks.map((network) => network.interface);
  const inner = largestMtu(environment, services);
  const from: Side = { side: "inside", family };
  const fragment = fragmentGuard(builder, from);
  const guard = [
    hopsGuard(builder, intent, from),
    ...tooLarge(builder, outer !== undefined && outer < inner ? outer : undefined),
  ];
  const least = smallestMtu(environment, services);
  // Targets learn the service network's MTU from their own interface, but not one that is smaller further on.
  const clamp =
    least !== undefined && least < largestMtu(environment, intent.externalInterfaces)
      ? [`tcp flags & (syn | rst) == syn tcp option maxseg size set ${least - (family === 4 ? 40 : 60)}`]
      : [];
  const replies = replyRules(builder, intent, environment, family);
  const ours = environment.own.filter((address) => familyOf(address) === family);
  if (intent.mode === "DSR") {
    const own = `${IP[family]} saddr != ${vips(builder, intent, family)} goto ${ownTraffic(builder, from)}`;
    return builder.chain(`service${family}`, [
      fragment,
      own,
      ...echoReplies(builder, ours, from),
      ...guard,
      ...clamp,
      ...replies,
    ]);
  }
  const reply = builder.chain("reply", replies);
  const address = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const exact = builder.map(`return${family}`, `type ${address} . inet_proto . inet_service : verdict;`);
  const translations = returnTranslations(intent, family);
  const ranges = translations.some((t) => t.range)
    ? builder.map(`return-range${family}`, `type ${address} . inet_proto . inet_service : verdict; flags interval;`)
    : undefined;
  for (const { key, range, statements } of translations) {
    const chain = builder.chain("back", [...statements, `goto ${reply}`]);
    (range ? ranges : exact)?.set(key, `goto ${chain}`);
  }
  const key = `${IP[family]} saddr . meta l4proto . th sport`;
  const toOwn = ours.length === 1 ? ours[0] : `{ ${ours.join(", ")} }`;
  const toTranslator = `meta mark set 0x${ICMP_MARK.toString(16)} accept`;
  return builder.chain(`service${family}`, [
    fragment,
    // A target's port may be asked by the instance itself (health checks), and its answer is no flow's.
    ...(ours.length === 0 ? [] : [`${IP[family]} daddr ${toOwn} goto ${ownTraffic(builder, from)}`]),
    `${IS_ICMP_ERROR[family]} goto ${allowanceChain(builder, ICMP_ERRORS, from, toTranslator)}`,
    ...guard,
    ...clamp,
    `${key} vmap @return${family}`,
    ...(ranges ? [`${key} vmap @return-range${family}`] : []),
    `goto ${ownTraffic(builder, from)}`,
  ]);
}
