import type { GatewayParameters } from "../api/gateway-parameters.ts";
import type { Kind, ObjectRef } from "../api/kinds.ts";
import type { ByteMatch, PortRangeList, Protocol } from "../api/routes.ts";
import type { HashFields } from "../balance/flow-hash.ts";
import type { Cidr, Family, Ip } from "../net/ip.ts";

/** A packet mark that means one leg: 31 bits, from the leg's key, the same on every instance. */
export type LegId = number;

/** One way to reach a target: its network, its addresses and, in NAT mode, the port to translate to. */
export interface Leg {
  readonly id: LegId;
  /** Stable identity, for example `default/pod-1@default/svc-net` (`:tcp/8080` is added where a port is translated). */
  readonly key: string;
  /** `namespace/name` of the pod, or the address where no pod is named. */
  readonly target: string;
  /** `namespace/name` of the service network, or `PRIMARY_NETWORK`. */
  readonly network: string;
  readonly interface: string;
  readonly addresses: { readonly 4?: Ip; readonly 6?: Ip };
  /** Where ports are translated: the port that packets to the target carry; absent: they keep theirs. */
  readonly port?: number;
  /** Primary network only: what its packets are. */
  readonly protocol?: Protocol;
  readonly state: LegState;
}

/**
 * What a leg is given: `accepting` new flows of at least one route; `draining` only the flows that it has; `arriving`
 * nothing until its pod is known to be set up for its VIPs; `unready` only the connections that it has, while UDP looks
 * for another target, which may answer.
 */
export type LegState = (typeof LEG_STATES)[number];
export const LEG_STATES = ["accepting", "draining", "arriving", "unready"] as const;

/** Slots of a lookup table. Flows whose legs and weights are equal share one. */
export interface Table {
  /** Stable while targets come and go, so that only changed slots are written. */
  readonly name: string;
  readonly size: number;
  /** Leg id of each slot; {@link REFUSED} where a backend is invalid. */
  readonly slots: Uint32Array;
  readonly legs: readonly LegId[];
}

/** Owner of the slots that belong to backends which do not resolve. No leg has it: its top bit is set. */
export const REFUSED = 0x80000002;

/**
 * When a flow is looked at: `early` before, `late` after the exact table of (VIP, protocol, port). TCPRoute and
 * UDPRoute are `exact`; FlowRoutes of priority above 0 are early, the others late.
 */
type Stage = "early" | "exact" | "late";

/** Packets that match go to a target of the table. One address family. */
export interface Flow {
  /** Unique and stable, for example `TCPRoute default/web TCP/80 IPv4`. */
  readonly key: string;
  readonly route: ObjectRef;
  readonly family: Family;
  readonly stage: Stage;
  readonly priority: number;
  readonly vips: readonly Ip[];
  readonly protocols: readonly Protocol[];
  /** Empty: any. */
  readonly destinationPorts: PortRangeList;
  /** Empty: any. */
  readonly sources: readonly Cidr[];
  /** Empty: any. */
  readonly sourcePorts: PortRangeList;
  readonly byteMatches: readonly ByteMatch[];
  readonly hash: HashFields;
  /** Absent when no target is ready: packets are counted and dropped. */
  readonly table: string | undefined;
  /** Targets that get no new flows of this one, but keep those that they have. */
  readonly draining: readonly LegId[];
  /** `namespace/name` of the Services behind it. */
  readonly services: readonly string[];
  readonly readyTargets: number;
  /** False when this instance reaches none of its targets; true without health checks. */
  readonly reachable: boolean;
}

/** Something that cannot be programmed as asked, in words for the object's owner. */
export interface Problem {
  readonly object: ObjectRef<Kind>;
  /** The route that suffers. */
  readonly route: ObjectRef;
  readonly reason: string;
  readonly message: string;
}

/** What the instances of one Gateway do with packets: derived from objects alone, the same on every instance. */
export interface Intent {
  readonly gateway: string;
  readonly mode: "DSR" | "NAT";
  readonly hashSeed: number;
  readonly flowKeeping: GatewayParameters["spec"]["flowKeeping"];
  /** Connections on the primary network that an instance tracks at once, each family. */
  readonly maxConnections: number;
  readonly externalInterfaces: readonly string[];
  readonly serviceNetworks: readonly { readonly name: string; readonly interface: string }[];
  /** In ascending order of their text. */
  readonly vips: readonly Ip[];
  readonly legs: ReadonlyMap<LegId, Leg>;
  readonly tables: ReadonlyMap<string, Table>;
  /** In the order in which they are matched. */
  readonly flows: readonly Flow[];
  readonly problems: readonly Problem[];
}
