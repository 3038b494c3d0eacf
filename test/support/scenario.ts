import { type AnyObject, isKind, KINDS } from "#shared/api/kinds.ts";
import { attach } from "#shared/resolve/attach.ts";
import { resolveIntent, type TargetsSeen } from "#shared/resolve/intent.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import type { ObjectView } from "#shared/store/object-store.ts";

interface Manifest {
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** A manifest as the stores parse it. */
export function object(manifest: Manifest): AnyObject {
  if (!isKind(manifest.kind)) throw new Error(`no such kind: ${manifest.kind}`);
  return KINDS[manifest.kind].schema.parse(manifest);
}

export interface ScenarioOptions {
  readonly mode?: "DSR" | "NAT";
  readonly targets?: number;
  readonly vips?: readonly string[];
  /** Those that one Gateway has no room for go to further ones, `edge-2` and so on, which share the VIPs. */
  readonly listeners?: readonly { readonly protocol: "TCP" | "UDP"; readonly port: number }[];
  /** Numbers of the targets of the listener at `index`; all of them by default. */
  readonly targetsOf?: (index: number) => readonly number[];
  /** Numbers of targets that are terminating: they are served out, and get nothing new. */
  readonly terminating?: readonly number[];
  /** Port at the targets; the listener's own by default. */
  readonly targetPort?: number;
  readonly tableSize?: number;
  readonly flowRoutes?: readonly { readonly name: string; readonly spec: Readonly<Record<string, unknown>> }[];
  readonly external?: string;
  readonly service?: string;
  /** Network part of targets' addresses: `10.1.0` gives 10.1.0.1, 10.1.0.2 … */
  readonly subnet?: string;
  readonly subnet6?: string;
  /** Whether the Service of the listener at `index` is an ordinary one: its targets are {@link POD_SUBNET}'s. */
  readonly ordinary?: (index: number) => boolean;
}

/** Network part of addresses on the primary network. */
const POD_SUBNET = { 4: "10.244.0", 6: "fd00:244::" } as const;

/** As Kubernetes' own controller labels its EndpointSlices. */
export const BUILT_IN = { "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" };

const meta = (name: string, more: object = {}) => ({ name, namespace: "default", ...more });

export function service(name: string, port: number, protocol: "TCP" | "UDP", more: object = {}): AnyObject {
  return object({
    apiVersion: "v1",
    kind: "Service",
    metadata: meta(name, {
      labels: { "service.kubernetes.io/service-proxy-name": "causeway" },
      annotations: { "k8s.v1.cni.cncf.io/service-network": "svc-net" },
      ...more,
    }),
    spec: { selector: { app: name }, ports: [{ port, protocol }] },
  });
}

/** An EndpointSlice as the controller writes it; target `i` is pod-i at `prefix` + i. */
export function slice(
  serviceName: string,
  family: 4 | 6,
  port: number,
  protocol: "TCP" | "UDP",
  addresses: ReadonlyMap<string, string>,
  terminating: ReadonlySet<string> = new Set(),
  labels: Readonly<Record<string, string>> = {},
): AnyObject {
  return object({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: meta(`${serviceName}-${family}`, { labels: { ...labels, "kubernetes.io/service-name": serviceName } }),
    addressType: `IPv${family}`,
    ports: [{ port, protocol }],
    endpoints: [...addresses].map(([pod, address]) => ({
      addresses: [address],
      conditions: terminating.has(pod) ? { ready: false, serving: true, terminating: true } : { ready: true },
      targetRef: { kind: "Pod", namespace: "default", name: pod },
    })),
  });
}

/** Listeners that a Gateway has room for beside the one for FlowRoutes. */
const GATEWAY_LISTENERS = 63;

/** One Gateway with a route and a Service for each listener, all over the same pods. */
export function scenario({
  mode = "DSR",
  targets = 4,
  vips = ["198.51.100.10", "2001:db8:100::10"],
  listeners = [
    { protocol: "TCP", port: 8080 },
    { protocol: "UDP", port: 8080 },
  ],
  targetsOf,
  terminating = [],
  targetPort,
  tableSize = 997,
  flowRoutes = [],
  external = "ext0",
  service: serviceInterface = "svc0",
  subnet = "10.1.0",
  subnet6 = "fd00:1::",
  ordinary = () => false,
}: ScenarioOptions = {}): MemoryStore {
  const store = new MemoryStore();
  const put = (manifest: Manifest): void => store.put(object(manifest));
  put({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GatewayClass",
    metadata: { name: "causeway" },
    spec: { controllerName: "causeway.dev/gateway-controller" },
  });
  put({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "GatewayParameters",
    metadata: meta("edge"),
    spec: {
      mode,
      externalNetworks: [{ interface: external }],
      serviceNetworks: [{ network: "svc-net", interface: serviceInterface }],
      lookupTableSize: tableSize,
    },
  });
  const gatewayOf = (index: number): string =>
    index < GATEWAY_LISTENERS ? "edge" : `edge-${Math.floor(index / GATEWAY_LISTENERS) + 1}`;
  const nameOf = ({ protocol, port }: (typeof listeners)[number]): string => `${protocol.toLowerCase()}-${port}`;
  for (const gateway of new Set(["edge", ...listeners.keys().map(gatewayOf)])) {
    put({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: meta(gateway),
      spec: {
        gatewayClassName: "causeway",
        infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "edge" } },
        listeners: [
          ...listeners
            .filter((_, index) => gatewayOf(index) === gateway)
            .map((listener) => ({ name: nameOf(listener), protocol: listener.protocol, port: listener.port })),
          { name: "flows", protocol: "causeway.dev/Flow", port: 1 },
        ],
      },
      status: { addresses: vips.map((value) => ({ type: "IPAddress", value })) },
    });
  }
  const everyTarget = Array.from({ length: targets }, (_, i) => i + 1);
  for (const [index, listener] of listeners.entries()) {
    const { protocol, port } = listener;
    const name = nameOf(listener);
    const at = targetPort ?? port;
    const numbers = [...new Set([...(targetsOf?.(index) ?? everyTarget), ...terminating])];
    const leaving = new Set(terminating.map((n) => `pod-${n}`));
    const pods = (addressOf: (n: number) => string): Map<string, string> =>
      new Map(numbers.map((n) => [`pod-${n}`, addressOf(n)]));
    const isOrdinary = ordinary(index);
    const labels = isOrdinary ? BUILT_IN : {};
    store.put(service(name, port, protocol, isOrdinary ? { annotations: {} } : {}));
    const [net4, net6] = isOrdinary ? [POD_SUBNET[4], POD_SUBNET[6]] : [subnet, subnet6];
    const addresses4 = pods((n) => v4(net4, n));
    const addresses6 = pods((n) => `${net6}${n.toString(16)}`);
    store.put(slice(name, 4, at, protocol, addresses4, leaving, labels));
    store.put(slice(name, 6, at, protocol, addresses6, leaving, labels));
    put({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: `${protocol}Route`,
      metadata: meta(name),
      spec: {
        parentRefs: [{ name: gatewayOf(index), sectionName: name }],
        rules: [{ backendRefs: [{ name, port }] }],
      },
    });
  }
  for (const { name, spec } of flowRoutes) {
    put({
      apiVersion: "causeway.dev/v1alpha1",
      kind: "FlowRoute",
      metadata: meta(name),
      spec: { parentRefs: [{ name: "edge", sectionName: "flows" }], ...spec },
    });
  }
  return store;
}

/** Address `n` of a /16 whose third octet the prefix names. */
function v4(prefix: string, n: number): string {
  const [a, b, c] = prefix.split(".").map(Number);
  return `${a}.${b}.${(c ?? 0) + Math.floor(n / 250)}.${n % 250}`;
}

/** A view of everything in a store. */
export function viewOf(store: MemoryStore): Promise<ObjectView> {
  return store.watch(
    Object.keys(KINDS)
      .filter(isKind)
      .map((kind) => ({ kind })),
    () => undefined,
    new AbortController().signal,
  );
}

/** The intent of the scenario's Gateway. */
export async function intentOf(
  store: MemoryStore,
  cache: TableCache = new TableCache(),
  gateway = "edge",
  seen?: TargetsSeen,
): Promise<Intent> {
  const view = await viewOf(store);
  const intent = resolveIntent(
    attach(view),
    view.list("EndpointSlice"),
    { namespace: "default", name: gateway },
    cache,
    seen,
  );
  if (intent === undefined) throw new Error(`Gateway ${gateway} has no intent`);
  return intent;
}
