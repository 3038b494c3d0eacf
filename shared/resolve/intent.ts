import type { EndpointSlice, Service } from "../api/core.ts";
import { tableSizeField } from "../api/gateway-parameters.ts";
import type { Kind, ObjectRef } from "../api/kinds.ts";
import { TABLE_SIZE_ANNOTATION } from "../api/names.ts";
import type { PortRangeList, Protocol } from "../api/routes.ts";
import { cidrContains, FAMILIES, type Family, familyOf, type Ip } from "../net/ip.ts";
import type { AttachedBackend, AttachedRoute, Attachments, GatewayAttachment } from "./attachment-types.ts";
import type { IsUnreachable } from "./health-checks.ts";
import type { Flow, Intent, Leg, LegId, Problem } from "./intent-types.ts";
import { Legs } from "./legs.ts";
import { mergeCidrs, mergeRanges } from "./port-ranges.ts";
import { isPrimary, PRIMARY_NETWORK } from "./primary-network.ts";
import { ReturnClaims } from "./return-claims.ts";
import { shareTables, type TableCache, type TableRequest } from "./tables.ts";
import { indexSlices, type SliceIndex, serviceNetwork, type Target, targetsOf } from "./targets.ts";

interface Share {
  readonly leg: Leg;
  readonly weight: number;
}

/** A target of a flow before its leg has an id. */
interface PendingShare {
  /** Key of the leg. */
  readonly key: string;
  /** 0: no new flows. */
  readonly weight: number;
}

/** Of a backend's targets, those of the first standing that any has get its new flows (KEP-1669). */
const TAKES_NEW_FLOWS = ["ready", "terminating", "arriving"] as const;

/** What one instance knows of targets beside the objects. */
export interface TargetsSeen {
  /** Such a target is as if it were not there, unless all of a flow's are. */
  readonly isUnreachable?: IsUnreachable | undefined;
  /** Such a target gets no new flows yet, unless nobody else can take them. */
  readonly isArriving?: ((address: Ip) => boolean) | undefined;
}

type FlowMatch = Omit<Draft["flow"], "services" | "readyTargets" | "reachable" | "hash">;

/** A flow whose table is still to be named. */
interface Draft {
  readonly flow: Omit<Flow, "table" | "draining">;
  readonly request: TableRequest | undefined;
  /** Keys of legs that keep their flows. */
  readonly draining: readonly string[];
}

function refOf(object: { kind: Kind; metadata: { namespace: string; name: string } }): ObjectRef {
  return { kind: object.kind, namespace: object.metadata.namespace, name: object.metadata.name };
}

const named = (object: { metadata: { namespace: string; name: string } }): string =>
  `${object.metadata.namespace}/${object.metadata.name}`;

/** The one number of a list of ports that holds just one; undefined otherwise. */
function singlePort(ports: PortRangeList): number | undefined {
  const [only, more] = ports;
  return only !== undefined && more === undefined && only.from === only.to ? only.from : undefined;
}

class Resolver {
  readonly #gateway: GatewayAttachment;
  readonly #parameters: NonNullable<GatewayAttachment["parameters"]>;
  readonly #slices: SliceIndex;
  readonly #networks: ReadonlyMap<string, { readonly name: string; readonly interface: string }>;
  readonly #legs = new Legs();
  readonly #problems: Problem[] = [];
  readonly #claims = new ReturnClaims();
  readonly #cache: TableCache;
  readonly #isUnreachable: IsUnreachable;
  readonly #isArriving: (address: Ip) => boolean;

  constructor(
    gateway: GatewayAttachment,
    parameters: NonNullable<GatewayAttachment["parameters"]>,
    slices: readonly EndpointSlice[],
    cache: TableCache,
    { isUnreachable = () => false, isArriving = () => false }: TargetsSeen,
  ) {
    this.#isUnreachable = isUnreachable;
    this.#isArriving = isArriving;
    this.#gateway = gateway;
    this.#parameters = parameters;
    this.#slices = indexSlices(slices);
    this.#cache = cache;
    this.#networks = new Map(
      parameters.spec.serviceNetworks.map((n) => {
        const name = n.network.includes("/") ? n.network : `${parameters.metadata.namespace}/${n.network}`;
        return [name, { name, interface: n.interface }];
      }),
    );
  }

  #problem(route: ObjectRef, object: ObjectRef, reason: string, message: string): void {
    const known = this.#problems.some(
      (p) =>
        p.message === message &&
        p.object.name === object.name &&
        p.route.name === route.name &&
        p.route.kind === route.kind,
    );
    if (!known) this.#problems.push({ object, route, reason, message });
  }

  #tableSize(services: readonly Service[], route: ObjectRef): number {
    for (const service of services) {
      const text = service.metadata.annotations[TABLE_SIZE_ANNOTATION];
      if (text === undefined) continue;
      const size = tableSizeField.safeParse(Number(text));
      if (size.success) return size.data;
      const why = size.error.issues.map((issue) => issue.message).join("; ");
      const annotation = `metadata.annotations["${TABLE_SIZE_ANNOTATION}"]`;
      this.#problem(route, refOf(service), "InvalidAnnotation", `${annotation} is ${JSON.stringify(text)}: ${why}`);
    }
    return this.#parameters.spec.lookupTableSize;
  }

  /** The network on which a backend's targets are reached, or the reason why it cannot be. */
  #network(service: Service, route: ObjectRef): { readonly name: string; readonly interface: string } | undefined {
    const wanted = serviceNetwork(service);
    const field = "metadata.annotations[k8s.v1.cni.cncf.io/service-network]";
    if (wanted === undefined) return { name: PRIMARY_NETWORK, interface: PRIMARY_NETWORK };
    const network = wanted === null ? undefined : this.#networks.get(wanted.network);
    if (wanted === null) {
      this.#problem(
        route,
        refOf(service),
        "InvalidAnnotation",
        `${field} does not parse: write [namespace/]network[@interface]`,
      );
    } else if (network === undefined) {
      const have = [...this.#networks.keys()].join(", ");
      this.#problem(
        route,
        refOf(service),
        "NetworkNotAttached",
        `${field} names ${wanted.network}, to which GatewayParameters ${named(this.#parameters)} attaches no interface (it has ${have})`,
      );
    }
    return network;
  }

  /**
   * Legs of one backend in one family: those that get new flows have equal shares of its weight, others none.
   * @param matchPort what packets carry, if it is one.
   */
  #shares(
    backend: AttachedBackend,
    family: Family,
    matchPort: number | undefined,
    route: ObjectRef,
    isUnreachable: IsUnreachable,
  ): readonly PendingShare[] {
    const network = this.#network(backend.service, route);
    if (network === undefined) return [];
    const protocol = backend.port.protocol;
    const primary = isPrimary({ network: network.name });
    const targets = targetsOf(this.#slices.of(backend.service), family, {
      name: backend.port.name ?? "",
      protocol,
    }).filter(({ address }) => !isUnreachable(backend.service, backend.port, address));
    if (primary && protocol === "SCTP") {
      const what = `port ${backend.port.port}/SCTP of Service ${named(backend.service)}`;
      const message = `${what} is on the primary network, where TCP and UDP are carried: name a service network`;
      this.#problem(route, refOf(backend.service), "UnsupportedProtocol", message);
      return [];
    }
    const nat = primary || this.#parameters.spec.mode === "NAT";
    const usable = targets.filter(({ port }) => {
      // Kubernetes leaves a pod's slice without the port that the pod does not have.
      if (primary) return port !== undefined;
      if (nat || matchPort === undefined || port === undefined || port === matchPort) return true;
      this.#problem(
        route,
        route,
        "PortTranslationNeeded",
        `port ${matchPort} of the Gateway is port ${port} at the targets of Service ${named(backend.service)}: DSR rewrites nothing; use the same port or GatewayParameters mode NAT`,
      );
      return false;
    });
    const standing = ({ state, address }: Target): Target["state"] | "arriving" =>
      state === "ready" && this.#isArriving(address) ? "arriving" : state;
    const standings = usable.map(standing);
    const accepting = TAKES_NEW_FLOWS.find((best) => standings.includes(best));
    const count = standings.filter((one) => one === accepting).length;
    return usable.map((target) => {
      const { identity, address, port } = target;
      // A port that stays the same is not rewritten, and its targets' table is shared with other ports.
      const translate = nat && matchPort !== undefined && (primary || port !== matchPort) ? port : undefined;
      // Of the primary network's legs each has one protocol: connections are forgotten by leg.
      const own = primary || translate !== undefined ? `:${protocol.toLowerCase()}` : "";
      const suffix = `${own}${translate === undefined ? "" : `/${translate}`}`;
      const stands = standing(target);
      const accepts = stands === accepting;
      const key = this.#legs.add({
        key: `${identity}@${network.name}${suffix}`,
        target: identity,
        network: network.name,
        interface: network.interface,
        addresses: { [family]: address },
        ...(translate === undefined ? {} : { port: translate }),
        ...(primary ? { protocol } : {}),
        state: accepts ? "accepting" : stands === "unready" || stands === "arriving" ? stands : "draining",
      });
      return { key, weight: accepts ? backend.weight / count : 0 };
    });
  }

  /** Whether replies of the flow's targets can be told apart from those of other flows. */
  #claimReturn(flow: Draft["flow"], legs: readonly Leg[]): boolean {
    if (this.#parameters.spec.mode === "DSR") return true;
    const clash = this.#claims.claim(flow, legs);
    if (clash === undefined) return true;
    const cure = "use another target port, one VIP a family, or mode DSR";
    this.#problem(
      flow.route,
      flow.route,
      "AmbiguousReturn",
      `${clash}: stateless NAT can give a target's port one VIP and port only; ${cure}`,
    );
    return false;
  }

  /** Weights of the legs of a flow's backends, by key; 0: no new flows. */
  #weights(attached: AttachedRoute, match: FlowMatch, isUnreachable: IsUnreachable): ReadonlyMap<string, number> {
    const matchPort = singlePort(match.destinationPorts);
    const weights = new Map<string, number>();
    for (const backend of attached.backends) {
      if (!match.protocols.includes(backend.port.protocol)) continue;
      for (const { key, weight } of this.#shares(backend, match.family, matchPort, match.route, isUnreachable)) {
        // A backend of weight 0 gets nothing new, and its targets keep what they have.
        weights.set(key, (weights.get(key) ?? 0) + (backend.weight === 0 ? 0 : weight));
      }
    }
    return weights;
  }

  #draft(attached: AttachedRoute, match: FlowMatch): Draft {
    const services = [...new Map(attached.backends.map((b) => [named(b.service), b.service])).values()];
    const matchPort = singlePort(match.destinationPorts);
    const within = this.#weights(attached, match, this.#isUnreachable);
    const reachable = [...within.values()].some((weight) => weight > 0);
    // When none can be reached this instance is cut off, or nothing helps: the table stays whole.
    const all = reachable ? within : this.#weights(attached, match, () => false);
    const weights = new Map([...all].filter(([, weight]) => weight > 0));
    const draining = [...all.keys()].filter((key) => !weights.has(key));
    const flow = {
      ...match,
      hash: services.some((s) => s.spec.sessionAffinity === "ClientIP") ? ("source" as const) : ("tuple" as const),
      services: services.map(named),
      readyTargets: weights.size,
      reachable,
    };
    if (weights.size === 0) return { flow, request: undefined, draining };
    const size = this.#tableSize(services, match.route);
    const backends = attached.backends.map((b) => `${named(b.service)}:${b.port.protocol}/${b.port.port}*${b.weight}`);
    const group = [match.family, match.protocols, matchPort, size, attached.invalidWeight, ...backends.sort()].join(
      " ",
    );
    return {
      flow,
      draining,
      request: { group, size, family: match.family, shares: this.#pending(weights), refused: attached.invalidWeight },
    };
  }

  /** Shares whose legs have no id yet; {@link resolve} puts the finished legs in. */
  #pending(weights: ReadonlyMap<string, number>): readonly Share[] {
    return [...weights].map(([key, weight]) => ({
      leg: { id: 0, key, target: "", network: "", interface: "", addresses: {}, state: "accepting" },
      weight,
    }));
  }

  #drafts(attachment: GatewayAttachment, vips: readonly Ip[]): Draft[] {
    const drafts: Draft[] = [];
    const isExact = (a: AttachedRoute): boolean => a.route.kind !== "FlowRoute";
    for (const family of FAMILIES) {
      const own = vips.filter((vip) => familyOf(vip) === family);
      if (own.length === 0) continue;
      for (const attached of attachment.routes.filter(isExact)) {
        const protocol: Protocol = attached.route.kind === "TCPRoute" ? "TCP" : "UDP";
        for (const { port } of attached.listeners) {
          drafts.push(
            this.#draft(attached, {
              key: `${attached.route.kind} ${named(attached.route)} ${protocol}/${port} IPv${family}`,
              route: refOf(attached.route),
              family,
              stage: "exact",
              priority: 0,
              vips: own,
              protocols: [protocol],
              destinationPorts: [{ from: port, to: port }],
              sources: [],
              sourcePorts: [],
              byteMatches: [],
            }),
          );
        }
      }
      for (const attached of attachment.routes) {
        if (attached.route.kind !== "FlowRoute") continue;
        const { match, priority } = attached.route.spec;
        const ofFamily = mergeCidrs(match.sources.filter((source) => familyOf(source) === family));
        const matched =
          match.destinations.length === 0
            ? own
            : own.filter((vip) => match.destinations.some((d) => cidrContains(d, vip)));
        // Sources of the other family only: nothing of this one can match.
        if (matched.length === 0 || (match.sources.length > 0 && ofFamily.length === 0)) continue;
        drafts.push(
          this.#draft(attached, {
            key: `FlowRoute ${named(attached.route)} IPv${family}`,
            route: refOf(attached.route),
            family,
            stage: priority > 0 ? "early" : "late",
            priority,
            vips: matched,
            protocols: match.protocols,
            destinationPorts: mergeRanges(match.destinationPorts),
            sources: ofFamily,
            sourcePorts: mergeRanges(match.sourcePorts),
            byteMatches: match.byteMatches,
          }),
        );
      }
    }
    return drafts;
  }

  resolve(sharing: readonly GatewayAttachment[]): Intent {
    const vips = [...this.#gateway.vips].sort();
    const drafts = this.#drafts(this.#gateway, vips);
    for (const other of sharing) {
      drafts.push(
        ...this.#drafts(
          other,
          other.vips.filter((vip) => vips.includes(vip)),
        ),
      );
    }
    const legs = this.#legs.finish();
    const requests = new Map<Draft, TableRequest>();
    const draining = new Map<Draft, readonly LegId[]>();
    for (const draft of drafts) {
      if (draft.request === undefined) continue;
      const shares = draft.request.shares.flatMap(({ leg, weight }) => {
        const finished = legs.get(leg.key);
        return finished ? [{ leg: finished, weight }] : [];
      });
      const own = shares.map(({ leg }) => leg);
      if (!this.#claimReturn(draft.flow, own)) continue;
      requests.set(draft, { ...draft.request, shares });
      // One that cannot be told apart harms nobody but itself: it is as if it had gone.
      const leaving = draft.draining.flatMap((key) => legs.get(key) ?? []);
      draining.set(
        draft,
        leaving.filter((leg) => this.#claimReturn(draft.flow, [leg])).map((leg) => leg.id),
      );
    }
    const { tables, nameOf } = shareTables([...requests.values()], this.#cache);
    this.#cache.turn();
    const flows = drafts.map((draft): Flow => {
      const request = requests.get(draft);
      const table = request === undefined ? undefined : nameOf.get(request.group);
      return {
        ...draft.flow,
        table,
        draining: draining.get(draft) ?? [],
        readyTargets: table === undefined ? 0 : draft.flow.readyTargets,
      };
    });
    const used = new Set([
      ...[...tables.values()].flatMap((table) => table.legs),
      ...flows.flatMap((flow) => flow.draining),
    ]);
    const stages = { early: 0, exact: 1, late: 2 };
    return {
      gateway: named(this.#gateway.gateway),
      mode: this.#parameters.spec.mode,
      hashSeed: this.#parameters.spec.hashSeed,
      flowKeeping: this.#parameters.spec.flowKeeping,
      maxConnections: this.#parameters.spec.primaryNetwork.maxConnections,
      externalInterfaces: this.#parameters.spec.externalNetworks.map((n) => n.interface),
      serviceNetworks: [...this.#networks.values()],
      vips,
      legs: new Map([...legs.values()].filter((leg) => used.has(leg.id)).map((leg) => [leg.id, leg])),
      tables,
      // A stable sort: within one stage and priority the attachment's order (age, then name) stands.
      flows: flows.sort((a, b) => stages[a.stage] - stages[b.stage] || b.priority - a.priority),
      problems: this.#problems,
    };
  }
}

/**
 * What the instances of a Gateway do with packets.
 * @param seen from one instance.
 * @returns undefined when the Gateway is not ours, is gone, or its parameters do not resolve.
 */
export function resolveIntent(
  attachments: Attachments,
  slices: readonly EndpointSlice[],
  gateway: { readonly namespace: string; readonly name: string },
  cache: TableCache,
  seen: TargetsSeen = {},
): Intent | undefined {
  const [attachment, ...sharing] = servedGateways(attachments, gateway);
  if (attachment?.parameters === undefined) return undefined;
  return new Resolver(attachment, attachment.parameters, slices, cache, seen).resolve(sharing);
}

/** The Gateway, first, and those whose flows its instances serve as well; none when its parameters do not resolve. */
export function servedGateways(
  attachments: Attachments,
  gateway: { readonly namespace: string; readonly name: string },
): readonly GatewayAttachment[] {
  const attachment = attachments.gateways.find((a) => named(a.gateway) === `${gateway.namespace}/${gateway.name}`);
  if (attachment?.parameters === undefined) return [];
  const { parameters } = attachment;
  // Gateways may share a VIP when their ports differ and their parameters are one object: routers spread the VIP's
  // packets over the instances of both, so each serves the other's listeners too.
  const sharing = attachments.gateways.filter(
    (other) =>
      other !== attachment &&
      other.parameters !== undefined &&
      named(other.parameters) === named(parameters) &&
      other.vips.some((vip) => attachment.vips.includes(vip)),
  );
  return [attachment, ...sharing];
}
