import type { EndpointSlice, Pod } from "#shared/api/core.ts";
import { GATEWAY_NAME_LABEL, NETWORK_STATUS_ANNOTATION, POD_READY_CONDITION } from "#shared/api/names.ts";
import { FAMILIES, type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import { compareText } from "#shared/resolve/age.ts";
import { ATTACH_KINDS, attach } from "#shared/resolve/attach.ts";
import type { GatewayAttachment } from "#shared/resolve/attachment-types.ts";
import { isInstanceUp } from "#shared/resolve/instance-up.ts";
import { addressOf, attachmentTo, type PodAttachment, podAttachments } from "#shared/resolve/pod-attachments.ts";
import { SLICES_THAT_COUNT } from "#shared/resolve/slice-interest.ts";
import { indexSlices, type ServiceNetworkRef, serviceNetwork } from "#shared/resolve/targets.ts";
import type { Interest, ObjectView } from "#shared/store/object-store.ts";
import type { RtpsFilter } from "./rtps-filter.ts";

/**
 * What {@link desiredPodNetwork} and the filters of service groups are made of: whoever calls it watches these.
 * @param nodeName Undefined: pods of all nodes.
 */
export function nodeInterests(nodeName: string | undefined): readonly Interest[] {
  const instances: Interest = {
    kind: "Pod",
    matchExpressions: [{ key: GATEWAY_NAME_LABEL, operator: "Exists", values: [] }],
  };
  return [
    ...ATTACH_KINDS.map((kind) => ({ kind })),
    SLICES_THAT_COUNT,
    { kind: "DiscoveryDomain" },
    ...(nodeName === undefined ? [{ kind: "Pod" as const }] : [{ kind: "Pod" as const, nodeName }, instances]),
  ];
}

/** An instance's address on a service network, and the pod's interface there. */
export interface ReturnHop {
  readonly network: string;
  readonly address: Ip;
  readonly interface: string;
}

/** Packets from these sources go back over these instances. */
interface FamilyReturn {
  readonly sources: readonly Ip[];
  /** Over the instances that are live for the family, in order of their text; none: what the pod has stays. */
  readonly nextHops: readonly ReturnHop[];
  /** Instances that are live by their objects and do not answer: left out. */
  readonly silent?: readonly ReturnHop[];
}

/** One routing table of a pod. */
export interface ReturnPath {
  /** What the table's number comes from: the Gateway, in NAT mode with the service network. */
  readonly key: string;
  /** `namespace/name` */
  readonly gateway: string;
  readonly mode: "DSR" | "NAT";
  readonly interfaces: readonly string[];
  readonly families: Readonly<Partial<Record<Family, FamilyReturn>>>;
}

/** What the agent keeps in the network namespace of one pod. */
export interface PodNetwork {
  /** DSR: addresses of the loopback. */
  readonly vips: readonly Ip[];
  readonly paths: readonly ReturnPath[];
  /** Whose RTPS does not come in; undefined: everybody's does. */
  readonly filter?: RtpsFilter;
  /** What keeps the pod from having all of its return path, for people. */
  readonly problems: readonly string[];
}

/** A pod that is not selected. */
export const NO_NETWORK: PodNetwork = { vips: [], paths: [], problems: [] };

/** A pod as the target of a Gateway's services on one network. */
interface Use {
  readonly network: string;
  readonly interface: string;
  readonly address: Ip;
}

class Drafts {
  readonly #pods = new Map<string, { paths: ReturnPath[]; problems: Set<string> }>();

  of(pod: string): { readonly paths: ReturnPath[]; readonly problems: Set<string> } {
    const draft = this.#pods.get(pod) ?? { paths: [], problems: new Set<string>() };
    this.#pods.set(pod, draft);
    return draft;
  }

  finish(): ReadonlyMap<string, PodNetwork> {
    return new Map(
      [...this.#pods].map(([pod, { paths, problems }]) => {
        const dsr = paths.filter((path) => path.mode === "DSR");
        const vips = new Set(dsr.flatMap((path) => FAMILIES.flatMap((f) => path.families[f]?.sources ?? [])));
        const sorted = paths.sort((a, b) => compareText(a.key, b.key));
        return [pod, { vips: [...vips].sort(), paths: sorted, problems: [...problems, ...contested(sorted)] }];
      }),
    );
  }
}

/** In NAT mode replies are told apart by the target's address alone: only one Gateway can have it. */
function contested(paths: readonly ReturnPath[]): string[] {
  const owner = new Map<Ip, string>();
  const problems: string[] = [];
  for (const { mode, gateway, families } of paths) {
    for (const source of mode === "NAT" ? FAMILIES.flatMap((family) => families[family]?.sources ?? []) : []) {
      const first = owner.get(source) ?? gateway;
      owner.set(source, first);
      if (first === gateway) continue;
      problems.push(
        `replies from ${source} go to Gateway ${first}, those of Gateway ${gateway} are lost: a target's address can ` +
          "serve one NAT Gateway; use mode DSR or another service network",
      );
    }
  }
  return problems;
}

function isTrue(pod: Pod, type: string): boolean {
  return pod.status?.conditions.some((c) => c.type === type && c.status === "True") ?? false;
}

/** Whether replies of a family may be sent to an instance. One that is about to go is left before it stops. */
function isLive(pod: Pod, family: Family): boolean {
  return isInstanceUp(pod) && isTrue(pod, POD_READY_CONDITION[family]);
}

class Resolver {
  readonly #view: ObjectView;
  readonly #isHere: (pod: string) => boolean;
  readonly #slices;
  readonly #instances: ReadonlyMap<string, readonly Pod[]>;
  readonly #attachments = new Map<string, readonly PodAttachment[]>();
  readonly #drafts = new Drafts();

  constructor(view: ObjectView, isHere: (pod: string) => boolean) {
    this.#view = view;
    this.#isHere = isHere;
    this.#slices = indexSlices(view.list("EndpointSlice"));
    const labelled = view.list("Pod").filter((pod) => pod.metadata.labels[GATEWAY_NAME_LABEL] !== undefined);
    this.#instances = Map.groupBy(
      labelled,
      ({ metadata }) => `${metadata.namespace}/${metadata.labels[GATEWAY_NAME_LABEL]}`,
    );
  }

  resolve(): ReadonlyMap<string, PodNetwork> {
    for (const attachment of attach(this.#view).gateways) {
      if (attachment.parameters?.spec.returnPath === "Agent") this.#gateway(attachment, attachment.parameters);
    }
    return this.#drafts.finish();
  }

  #attachmentsOf(pod: Pod): readonly PodAttachment[] {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    const known = this.#attachments.get(key) ?? podAttachments(pod);
    this.#attachments.set(key, known);
    return known;
  }

  #gateway(attachment: GatewayAttachment, parameters: NonNullable<GatewayAttachment["parameters"]>): void {
    const { namespace, name } = attachment.gateway.metadata;
    const gateway = `${namespace}/${name}`;
    const { mode, serviceNetworks } = parameters.spec;
    // Interface of the instances, by network.
    const networks = new Map(
      serviceNetworks.map((n) => [
        n.network.includes("/") ? n.network : `${parameters.metadata.namespace}/${n.network}`,
        n.interface,
      ]),
    );
    const services = new Set(attachment.routes.flatMap((route) => route.backends.map((backend) => backend.service)));
    const uses = new Map<string, Use[]>();
    for (const service of services) {
      const network = serviceNetwork(service);
      // What is wrong with such a Service is the proxy's to say.
      if (!network || !networks.has(network.network)) continue;
      for (const [pod, use] of this.#targets(this.#slices.of(service), network))
        uses.set(pod, [...(uses.get(pod) ?? []), use]);
    }
    for (const [pod, podUses] of uses) {
      const hops = (family: Family, of: readonly Use[]): readonly ReturnHop[] =>
        this.#nextHops(gateway, family, of, networks);
      const paths =
        mode === "DSR" ? dsrPath(gateway, attachment.vips, podUses, hops) : natPaths(gateway, podUses, hops);
      this.#drafts.of(pod).paths.push(...paths);
    }
  }

  /** The pods here that are targets, also those that are not ready: the return path stands before them. */
  *#targets(slices: readonly EndpointSlice[], network: ServiceNetworkRef): Generator<readonly [string, Use], void> {
    for (const slice of slices) {
      for (const { targetRef, addresses } of slice.endpoints) {
        const address = addresses[0];
        if (targetRef?.kind !== "Pod" || address === undefined) continue;
        const namespace = targetRef.namespace ?? slice.metadata.namespace;
        const key = `${namespace}/${targetRef.name}`;
        if (!this.#isHere(key)) continue;
        const pod = this.#view.get("Pod", namespace, targetRef.name);
        if (pod?.metadata.labels[GATEWAY_NAME_LABEL] !== undefined) {
          // Its network namespace is the proxy's and the frontend's.
          this.#drafts.of(key).problems.add("the pod is a gateway instance, which cannot be a target as well");
          continue;
        }
        const prefer = { interface: network.interface, address };
        const attachment = pod && attachmentTo(this.#attachmentsOf(pod), network.network, prefer);
        if (attachment !== undefined) {
          yield [key, { network: network.network, interface: attachment.interface, address }];
          continue;
        }
        const where = `${network.network}${network.interface === undefined ? "" : `@${network.interface}`}`;
        this.#drafts
          .of(key)
          .problems.add(`annotation ${NETWORK_STATUS_ANNOTATION} of the pod lists no interface on network ${where}`);
      }
    }
  }

  #nextHops(
    gateway: string,
    family: Family,
    uses: readonly Use[],
    networks: ReadonlyMap<string, string>,
  ): readonly ReturnHop[] {
    const hops = new Map<string, ReturnHop>();
    for (const instance of this.#instances.get(gateway) ?? []) {
      if (!isLive(instance, family)) continue;
      for (const use of uses) {
        const to = attachmentTo(this.#attachmentsOf(instance), use.network, { interface: networks.get(use.network) });
        const address = to && addressOf(to, family);
        if (address !== undefined) {
          hops.set(`${address}%${use.interface}`, { network: use.network, address, interface: use.interface });
        }
      }
    }
    return [...hops].sort(([a], [b]) => compareText(a, b)).map(([, hop]) => hop);
  }
}

type HopsOf = (family: Family, uses: readonly Use[]) => readonly ReturnHop[];

function interfacesOf(uses: readonly Use[]): readonly string[] {
  return [...new Set(uses.map((use) => use.interface))].sort();
}

/** Replies carry the VIP: one table, over all networks on which the pod is a target. */
function dsrPath(gateway: string, vips: readonly Ip[], uses: readonly Use[], hopsOf: HopsOf): ReturnPath[] {
  const families: Partial<Record<Family, FamilyReturn>> = {};
  for (const family of FAMILIES) {
    const mine = uses.filter((use) => familyOf(use.address) === family);
    const sources = vips.filter((vip) => familyOf(vip) === family).sort();
    if (mine.length > 0 && sources.length > 0) families[family] = { sources, nextHops: hopsOf(family, mine) };
  }
  const used = Object.keys(families).length > 0;
  return used ? [{ key: gateway, gateway, mode: "DSR", interfaces: interfacesOf(uses), families }] : [];
}

/** Replies carry the target's address: one table for each network. */
function natPaths(gateway: string, uses: readonly Use[], hopsOf: HopsOf): ReturnPath[] {
  return [...Map.groupBy(uses, (use) => use.network)].map(([network, mine]) => {
    const families: Partial<Record<Family, FamilyReturn>> = {};
    for (const family of FAMILIES) {
      const addresses = mine.map((use) => use.address).filter((address) => familyOf(address) === family);
      const sources = [...new Set(addresses)].sort();
      if (sources.length > 0) families[family] = { sources, nextHops: hopsOf(family, mine) };
    }
    return { key: `${gateway}@${network}`, gateway, mode: "NAT", interfaces: interfacesOf(mine), families };
  });
}

/**
 * What the pods need that are targets of Gateways whose `returnPath` is Agent, by `namespace/name`. Pure.
 * @param isHere whether a pod is on this node.
 */
export function desiredPodNetwork(
  view: ObjectView,
  isHere: (pod: string) => boolean = () => true,
): ReadonlyMap<string, PodNetwork> {
  return new Resolver(view, isHere).resolve();
}

/** The same, with what members of service groups drop: these need not be targets of a Gateway. */
export function withFilters(
  networks: ReadonlyMap<string, PodNetwork>,
  filters: ReadonlyMap<string, RtpsFilter>,
): ReadonlyMap<string, PodNetwork> {
  if (filters.size === 0) return networks;
  const all = new Map(networks);
  for (const [pod, filter] of filters) all.set(pod, { ...(networks.get(pod) ?? NO_NETWORK), filter });
  return all;
}
