import { ICMP_MARK, RETURN_MARK } from "#shared/instance/marks.ts";
import { FAMILIES, type Family, familyOf, ipToBigInt } from "#shared/net/ip.ts";
import { TableBuilder } from "#shared/nft/table-builder.ts";
import type { TableState } from "#shared/nft/table-state.ts";
import { type Intent, type Leg, REFUSED } from "#shared/resolve/intent-types.ts";
import { isPrimary, tracksConnections } from "#shared/resolve/primary-network.ts";
import { accepts, keeps, type Moves, NO_MOVES } from "../moves/moves.ts";
import { tooBigAnswers } from "./allowances.ts";
import { counterName, REFUSED_COUNTER, STRAY, UNMATCHED } from "./counters.ts";
import { dispatch } from "./dispatch.ts";
import { IP } from "./fast-path.ts";
import { type Finish, keptMap } from "./kept-flows.ts";
import { packetFields } from "./match.ts";
import { BEFORE_TRACKING, forwardToPrimary, primaryPath } from "./primary-path.ts";
import { forwardTranslation, returnTranslations } from "./return-translation.ts";
import { TABLE } from "./table-name.ts";

const hexMark = (mark: number): string => `0x${mark.toString(16)}`;
const NFPROTO = { 4: "ipv4", 6: "ipv6" } as const;

/**
 * The slow path: the stack, for what the ingress hook left to it. Packets are defragmented, marked with their leg (the
 * same tables, so the same target), routed by that mark, and rewritten in NAT mode only after the routing decision:
 * so an ICMP error that the stack sends about them quotes the packet as the client knows it.
 */
export function slowPath(intent: Intent, moves: Moves = NO_MOVES, before?: TableState): TableState {
  const builder = new TableBuilder("inet", TABLE, before);
  for (const family of FAMILIES) {
    const own = intent.vips.filter((vip) => familyOf(vip) === family);
    builder.set(`vips${family}`, `type ${family === 4 ? "ipv4_addr" : "ipv6_addr"};`, own);
    // ICMP errors quote the packet: the VIP as a plain integer, which is how the kernel compares raw payload.
    const quoted = family === 4 ? "@th,192,32" : "@th,256,128";
    builder.set(
      `quoted${family}`,
      `typeof ${quoted};`,
      own.map((vip) => `0x${ipToBigInt(vip).toString(16)}`),
    );
  }
  const external = namesOf(intent.externalInterfaces);
  const service = namesOf(intent.serviceNetworks.map((network) => network.interface));
  const both = namesOf([...intent.externalInterfaces, ...intent.serviceNetworks.map((network) => network.interface)]);

  builder.base("defrag", {
    hook: "type filter hook prerouting priority -450; policy accept;",
    place: "prerouting -450",
    rules: [{ match: "", chain: builder.chain("defrag", defragmentation()) }],
  });
  const tracks = tracksConnections(intent);
  const priority = tracks ? BEFORE_TRACKING : -150;
  builder.base("prerouting", {
    hook: `type filter hook prerouting priority ${priority}; policy accept;`,
    place: `prerouting ${priority}`,
    rules: FAMILIES.flatMap((family) => [
      {
        match: `iifname ${external} meta nfproto ${NFPROTO[family]}`,
        chain: fromOutside(builder, intent, moves, family),
      },
      { match: `iifname ${service} meta nfproto ${NFPROTO[family]}`, chain: fromTargets(builder, intent, family) },
    ]),
  });
  builder.base("forward", {
    hook: "type filter hook forward priority 0; policy accept;",
    place: "forward 0",
    rules: [{ match: `iifname ${both}`, chain: forward(builder, intent) }],
  });
  builder.base("output", {
    hook: "type route hook output priority -150; policy accept;",
    place: "output -150",
    rules: [{ match: "", chain: builder.chain("output", output(builder)) }],
  });
  if (tracks) primaryPath(builder, intent, { external, service, both });
  // After what is moved of them: where a change takes several transactions, the exception comes before the rule.
  for (const [name, table] of intent.tables) builder.lut(name, table.slots);
  return builder.finish();
}

function namesOf(interfaces: readonly string[]): string {
  return `{ ${interfaces.map((name) => `"${name}"`).join(", ")} }`;
}

/** Rules that never match: that one of them names tproxy switches the kernel's defragmentation on, without conntrack. */
function defragmentation(): string[] {
  return FAMILIES.map(
    (family) =>
      `meta mark 0xffffffff meta nfproto ${NFPROTO[family]} meta l4proto tcp socket transparent 1 tproxy ${IP[family]} to :1`,
  );
}

function fromOutside(builder: TableBuilder, intent: Intent, moves: Moves, family: Family): string {
  if (intent.flowKeeping.mode === "On") keptMap(builder, intent, family);
  const accepted = (map: string, legs: Iterable<Leg>): string => {
    const elements = builder.map(map, "type mark : verdict;");
    for (const leg of legs) if (leg.addresses[family] !== undefined) elements.set(String(leg.id), "accept");
    return `meta mark vmap @${map}`;
  };
  const finish: Finish = {
    slot: "accept",
    kept: (flowClass) =>
      accepted(
        `${flowClass}-legs${family}`,
        [...intent.legs.values()].filter((leg) => keeps(leg, flowClass)),
      ),
    get accepting() {
      return accepted(`accepting-legs${family}`, [...intent.legs.values()].filter(accepts));
    },
  };
  return builder.chain(`external${family}`, [
    `${IP[family]} daddr != @vips${family} accept`,
    // Too large for the hook, which has found the leg.
    accepted(`alive${family}`, intent.legs.values()),
    // Echo requests, and errors that were left to user space: for the stack itself.
    `meta l4proto ${family === 4 ? "icmp" : "ipv6-icmp"} accept`,
    ...dispatch(builder, intent, family, packetFields(family), finish, moves),
    builder.count(UNMATCHED),
    "drop",
  ]);
}

function fromTargets(builder: TableBuilder, intent: Intent, family: Family): string {
  const back = `meta mark set ${hexMark(RETURN_MARK)} accept`;
  const toOwn = "fib daddr type local accept";
  if (intent.mode === "DSR") {
    return builder.chain(`service${family}`, [toOwn, `${IP[family]} saddr @vips${family} ${back}`]);
  }
  const key = `${IP[family]} saddr . meta l4proto . th sport`;
  const ranges = returnMaps(builder, intent, family);
  const mark = builder.chain("mark-return", [back]);
  for (const name of [`returns${family}`, ...(ranges ? [`returns-range${family}`] : [])]) {
    const address = family === 4 ? "ipv4_addr" : "ipv6_addr";
    const flags = name.includes("range") ? " flags interval;" : "";
    const elements = builder.map(name, `type ${address} . inet_proto . inet_service : verdict;${flags}`);
    for (const translation of returnTranslations(intent, family)) {
      if (translation.range === name.includes("range")) elements.set(translation.key, `goto ${mark}`);
    }
  }
  return builder.chain(`service${family}`, [
    toOwn,
    `meta mark ${hexMark(ICMP_MARK)} accept`,
    `${key} vmap @returns${family}`,
    ...(ranges ? [`${key} vmap @returns-range${family}`] : []),
  ]);
}

/** Fills the maps that rewrite replies in the forward hook. @returns whether any of them is by range. */
function returnMaps(builder: TableBuilder, intent: Intent, family: Family): boolean {
  const address = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const exact = builder.map(`return${family}`, `type ${address} . inet_proto . inet_service : verdict;`);
  const translations = returnTranslations(intent, family);
  const ranged = translations.some((t) => t.range);
  const ranges = ranged
    ? builder.map(`return-range${family}`, `type ${address} . inet_proto . inet_service : verdict; flags interval;`)
    : exact;
  for (const { key, range, statements } of translations) {
    (range ? ranges : exact).set(key, `goto ${builder.chain("back", [...statements, "accept"])}`);
  }
  return ranged;
}

/**
 * Nothing passes between the external and the service networks but flows and their replies: an instance is no router.
 * ICMP errors of our own making have been marked on their way out, those of others by the ingress hook.
 */
function forward(builder: TableBuilder, intent: Intent): string {
  const rules: string[] = [];
  if (intent.mode === "NAT") {
    for (const family of FAMILIES) {
      const key = `meta mark ${hexMark(RETURN_MARK)} ${IP[family]} saddr . meta l4proto . th sport`;
      rules.push(`${key} vmap @return${family}`);
      if (returnTranslations(intent, family).some((t) => t.range)) rules.push(`${key} vmap @return-range${family}`);
    }
  }
  for (const family of FAMILIES) {
    const legs = builder.map(`legs${family}`, "type mark : verdict;");
    for (const leg of intent.legs.values()) {
      if (leg.addresses[family] === undefined) continue;
      const count = builder.count(counterName("leg", leg.key));
      const rewritten = isPrimary(leg) ? forwardToPrimary(leg) : forwardTranslation(intent, leg, family);
      const chain = builder.chain("leg", [count, ...rewritten, "accept"]);
      legs.set(String(leg.id), `goto ${chain}`);
    }
    legs.set(String(REFUSED), `goto ${builder.chain("refused", [builder.count(REFUSED_COUNTER), "drop"])}`);
    rules.push(`meta nfproto ${NFPROTO[family]} meta mark vmap @legs${family}`);
  }
  rules.push(`meta mark ${hexMark(RETURN_MARK)} accept`, `${builder.count(STRAY)} drop`);
  return builder.chain("forward", rules);
}

/** Replies that the stack makes itself: from the VIP, to the router. */
function output(builder: TableBuilder): string[] {
  const back = `meta mark set ${hexMark(RETURN_MARK)}`;
  return [
    ...FAMILIES.map((family) => tooBigAnswers(builder, family)),
    // The kernel answers with an address of the interface; the client knows the VIP only.
    `icmp type { destination-unreachable, time-exceeded } @th,192,32 @quoted4 ip saddr set @th,192,32 ${back} accept`,
    `icmpv6 type { destination-unreachable, packet-too-big, time-exceeded } @th,256,128 @quoted6 ip6 saddr set @th,256,128 ${back} accept`,
    `ip saddr @vips4 ${back}`,
    `ip6 saddr @vips6 ${back}`,
  ];
}
