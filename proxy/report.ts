import type { Programmed } from "#shared/instance/programmed.ts";
import { familyOf, type Ip } from "#shared/net/ip.ts";
import type { Flow, Intent, LegState } from "#shared/resolve/intent-types.ts";
import type { HealthMonitor, NetworkHealthStatus, TargetHealthStatus } from "./health/health-monitor.ts";
import type { IcmpCounts } from "./icmp-translator.ts";
import type { MovesStatus } from "./moves/flow-keeper.ts";
import {
  ANSWERS_LIMITED,
  CONNECTIONS_LIMITED,
  counterName,
  FRAGMENTS_LIMITED,
  ICMP_ERRORS_LIMITED,
  KEPT_FULL,
  NEIGHBOURS_LIMITED,
  NO_TARGET,
  REFUSED_COUNTER,
  SLOW,
  STRAY,
  TRACKED_FULL,
  TRACKED_INVALID,
  TRACKED_LOCAL,
  UNMATCHED,
} from "./nft/counters.ts";
import type { RepairStatus } from "./repairs.ts";
import type { ServiceLinkStatus } from "./service-links.ts";

/** The ruleset's counters that are about no service and no target. */
const COUNTERS = {
  unmatched: UNMATCHED,
  noTarget: NO_TARGET,
  refused: REFUSED_COUNTER,
  slowPath: SLOW,
  stray: STRAY,
  keptFull: KEPT_FULL,
  fragmentsLimited: FRAGMENTS_LIMITED,
  answersLimited: ANSWERS_LIMITED,
  icmpErrorsLimited: ICMP_ERRORS_LIMITED,
  connectionsLimited: CONNECTIONS_LIMITED,
  neighboursLimited: NEIGHBOURS_LIMITED,
  trackedFull: TRACKED_FULL,
  trackedInvalid: TRACKED_INVALID,
  trackedLocal: TRACKED_LOCAL,
} as const;

interface Count {
  readonly packets: number;
  readonly bytes: number;
}

/** What `GET /status` of a proxy answers. */
export interface ProxyStatus {
  readonly gateway: string;
  readonly mode: string | undefined;
  /** Number of changes applied since the start, and when the last was (ISO 8601). */
  readonly generation: number;
  readonly appliedAt: string | undefined;
  readonly vips: readonly { readonly address: Ip; readonly ready: boolean }[];
  readonly services: readonly (Count & {
    readonly name: string;
    readonly services: readonly string[];
    readonly vips: readonly Ip[];
    readonly protocols: readonly string[];
    readonly ports: readonly string[];
    readonly readyTargets: number;
  })[];
  readonly targets: readonly (Count & {
    readonly name: string;
    readonly network: string;
    readonly addresses: readonly Ip[];
    readonly state: LegState;
    /** Flows that are kept here though their slot has another owner. */
    readonly keptFlows: number;
  })[];
  /** Slots that changed hands lately: while their flows are learned, and until those have ended. */
  readonly moves: { readonly learningSlots: number; readonly settledSlots: number };
  /** Packets by what befell them other than being forwarded. */
  readonly counters: Readonly<Record<keyof typeof COUNTERS, Count>>;
  /** Who is asked by HealthChecks, and what this instance makes of the answers. */
  readonly health: {
    readonly targets: readonly (Omit<TargetHealthStatus, "sinceMs"> & { readonly since: string })[];
    readonly networks: readonly NetworkHealthStatus[];
  };
  /** ICMP errors about translated flows (NAT mode): passed on, and dropped by reason. */
  readonly icmp: IcmpCounts;
  /** What was put back after somebody else had changed it, by kind. */
  readonly repairs: readonly RepairStatus[];
  /** Service networks with other instances, by family: whether anybody answers there. */
  readonly serviceLinks: readonly ServiceLinkStatus[];
  readonly problems: readonly { readonly object: string; readonly reason: string; readonly message: string }[];
}

const NONE: Count = { packets: 0, bytes: 0 };

/** Whether a flow of the VIP has a target that this instance can reach: its interface is there. */
function ready(intent: Intent, vip: Ip, interfaces: ReadonlySet<string>): boolean {
  return intent.flows.some((flow) => {
    if (flow.table === undefined || !flow.reachable || !flow.vips.includes(vip)) return false;
    const legs = intent.tables.get(flow.table)?.legs ?? [];
    return legs.some((id) => interfaces.has(intent.legs.get(id)?.interface ?? ""));
  });
}

/**
 * What may be announced: the content of programmed.json.
 * @param interfaces those of the instance that are there; none to withdraw everything.
 */
export function programmedOf(
  intent: Intent,
  generation: number,
  interfaces: ReadonlySet<string>,
  state: Programmed["state"] = "serving",
): Programmed {
  return {
    generation,
    state,
    vips: intent.vips.map((address) => ({
      address,
      ready: ready(intent, address, interfaces),
      services: intent.flows
        .filter((flow) => flow.vips.includes(address) && flow.family === familyOf(address))
        .map((flow) => ({
          name: flow.services.join("+") || flow.key,
          readyTargets: flow.readyTargets,
          ...portOf(flow),
        })),
    })),
  };
}

function portOf(flow: Flow): { port: number; protocol: Flow["protocols"][number] } | Record<string, never> {
  const [port] = flow.destinationPorts;
  const [protocol] = flow.protocols;
  return flow.stage === "exact" && port !== undefined && protocol !== undefined ? { port: port.from, protocol } : {};
}

export function statusOf(
  gateway: string,
  intent: Intent | undefined,
  counters: ReadonlyMap<string, Count>,
  applied: { readonly generation: number; readonly at: string | undefined; readonly interfaces: ReadonlySet<string> },
  icmp: IcmpCounts,
  { learningSlots, settledSlots, kept }: MovesStatus,
  repairs: readonly RepairStatus[],
  serviceLinks: readonly ServiceLinkStatus[],
  health?: Pick<HealthMonitor, "statuses" | "networks">,
): ProxyStatus {
  const count = (name: string): Count => counters.get(name) ?? NONE;
  const range = ({ from, to }: { from: number; to: number }): string => (from === to ? `${from}` : `${from}-${to}`);
  return {
    gateway,
    mode: intent?.mode,
    generation: applied.generation,
    appliedAt: applied.at,
    vips: (intent?.vips ?? []).map((address) => ({
      address,
      ready: intent !== undefined && ready(intent, address, applied.interfaces),
    })),
    services: (intent?.flows ?? []).map((flow) => ({
      name: flow.key,
      services: flow.services,
      vips: flow.vips,
      protocols: flow.protocols,
      ports: flow.destinationPorts.map(range),
      readyTargets: flow.readyTargets,
      ...count(counterName("flow", flow.key)),
    })),
    targets: [...(intent?.legs.values() ?? [])].map((leg) => ({
      name: leg.target,
      network: leg.network,
      addresses: [leg.addresses[4], leg.addresses[6]].filter((address) => address !== undefined),
      state: leg.state,
      keptFlows: kept.get(leg.id) ?? 0,
      ...count(counterName("leg", leg.key)),
    })),
    moves: { learningSlots, settledSlots },
    counters: {
      unmatched: count(COUNTERS.unmatched),
      noTarget: count(COUNTERS.noTarget),
      refused: count(COUNTERS.refused),
      slowPath: count(COUNTERS.slowPath),
      stray: count(COUNTERS.stray),
      keptFull: count(COUNTERS.keptFull),
      fragmentsLimited: count(COUNTERS.fragmentsLimited),
      answersLimited: count(COUNTERS.answersLimited),
      icmpErrorsLimited: count(COUNTERS.icmpErrorsLimited),
      connectionsLimited: count(COUNTERS.connectionsLimited),
      neighboursLimited: count(COUNTERS.neighboursLimited),
      trackedFull: count(COUNTERS.trackedFull),
      trackedInvalid: count(COUNTERS.trackedInvalid),
      trackedLocal: count(COUNTERS.trackedLocal),
    },
    health: {
      targets: (health?.statuses() ?? []).map(({ sinceMs, ...status }) => ({
        ...status,
        since: new Date(sinceMs).toISOString(),
      })),
      networks: health?.networks() ?? [],
    },
    icmp,
    repairs,
    serviceLinks,
    problems: (intent?.problems ?? []).map(({ object, reason, message }) => ({
      object: `${object.kind} ${object.namespace}/${object.name}`,
      reason,
      message,
    })),
  };
}
