import type { Gateway } from "#shared/api/gateway.ts";
import type { GatewayParameters } from "#shared/api/gateway-parameters.ts";
import { NETWORKS_ANNOTATION, POD_READY_CONDITION } from "#shared/api/names.ts";
import { instanceSettings, trackingSettings } from "#shared/instance/instance-settings.ts";
import type { Family } from "#shared/net/ip.ts";

export interface InstanceImage {
  /** The image of controller and instances; its entrypoint is `causeway`. */
  readonly image: string;
}

export interface PodTemplateOptions extends InstanceImage {
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  /** Families of the Gateway's VIPs: each is a gate of the Pod's readiness. */
  readonly families: readonly Family[];
}

/** The pod's own interface: no network has to be attached for it. */
export const PRIMARY_INTERFACE = "eth0";

/** How long an instance goes on after its VIPs are withdrawn, at most. */
const DRAIN_MS = 20_000;
/** The withdrawal takes up to 3 s before the drain, gobgpd up to 4 s after it. */
const GRACE_SECONDS = 45;
const RUN_DIR = "/run/causeway";

/**
 * Writes `KEY=VALUE` into /proc/sys. A setting that this kernel does not have is passed over. Loading a rule that tracks
 * connections first makes those of IPv6's reassembly appear.
 */
const SETTINGS_SCRIPT = `set -eu
nft 'add table inet causeway-settings; add chain inet causeway-settings c { type filter hook prerouting priority -400; }; add rule inet causeway-settings c ct state invalid counter; delete table inet causeway-settings'
for setting in "$@"; do
  file="/proc/sys/\${setting%%=*}"
  if [ -e "$file" ]; then echo "\${setting#*=}" > "$file"; else echo "passed over: $file" >&2; fi
done
`;

interface Process {
  readonly name: "proxy" | "frontend";
  readonly port: number;
  readonly capabilities: readonly string[];
}

/*
 * Root without any right but these, in its own network namespace. A test runs both processes with no others.
 *   NET_ADMIN         nftables, routes, rules, addresses; marks of sockets
 *   NET_RAW           ICMP: what the proxy asks neighbours and targets, and errors that it translates
 *   NET_BIND_SERVICE  gobgpd listens on port 179
 *   SYS_NICE          BFD's thread gets real-time priority; without it a busy node makes it late
 */
const PROCESSES: readonly Process[] = [
  { name: "proxy", port: 9101, capabilities: ["NET_ADMIN", "NET_RAW"] },
  { name: "frontend", port: 9102, capabilities: ["NET_ADMIN", "NET_BIND_SERVICE", "SYS_NICE"] },
];

const DEFAULT_RESOURCES = { requests: { cpu: "100m", memory: "128Mi" } } as const;

function settingsOf({ spec }: GatewayParameters): readonly string[] {
  const forwarding = instanceSettings(
    spec.externalNetworks.map((network) => network.interface),
    spec.serviceNetworks.map((network) => network.interface),
  );
  return [...forwarding, ...trackingSettings()].map(([key, value]) => `${key}=${value}`);
}

/** Multus' list of attachments, one for each interface but the pod's own. */
function attachments({ metadata, spec }: GatewayParameters): readonly object[] {
  return [...spec.externalNetworks, ...spec.serviceNetworks].flatMap(({ network, interface: device }) => {
    if (network === undefined) return [];
    const slash = network.indexOf("/");
    const [namespace, name] =
      slash < 0 ? [metadata.namespace, network] : [network.slice(0, slash), network.slice(slash + 1)];
    return [{ name, namespace, interface: device }];
  });
}

function resourcesOf({ spec }: GatewayParameters): object {
  if (spec.resources === undefined) return DEFAULT_RESOURCES;
  return Object.fromEntries(
    Object.entries(spec.resources).map(([kind, amounts]) => [
      kind,
      Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, String(amount)])),
    ]),
  );
}

function container(
  gateway: Gateway,
  parameters: GatewayParameters,
  { image }: InstanceImage,
  process: Process,
): object {
  const { name, port, capabilities } = process;
  const probe = (path: string): object => ({ httpGet: { path, port: name }, timeoutSeconds: 5 });
  return {
    name,
    image,
    args: [
      name,
      "--kubernetes",
      `--run-dir=${RUN_DIR}`,
      // Not on the networks towards routers and targets.
      `--listen=[$(POD_IP)]:${port}`,
      `--gateway=${gateway.metadata.namespace}/${gateway.metadata.name}`,
      "--pod=$(POD_NAMESPACE)/$(POD_NAME)",
      `--drain-ms=${DRAIN_MS}`,
    ],
    env: [
      { name: "POD_NAME", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } },
      { name: "POD_NAMESPACE", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } } },
      { name: "POD_IP", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "status.podIP" } } },
    ],
    ports: [{ name, containerPort: port, protocol: "TCP" }],
    // It answers once it has read all objects: an API server that is away is no reason to begin anew.
    startupProbe: { ...probe("/livez"), periodSeconds: 2, failureThreshold: 300 },
    livenessProbe: { ...probe("/livez"), periodSeconds: 10, failureThreshold: 6 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 2, failureThreshold: 3 },
    resources: resourcesOf(parameters),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: [...capabilities], drop: ["ALL"] },
      readOnlyRootFilesystem: true,
      runAsUser: 0,
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [{ name: "run", mountPath: RUN_DIR }],
  };
}

type SpreadConstraint = NonNullable<NonNullable<GatewayParameters["spec"]["pods"]>["topologySpread"]>[number];

/** Where nothing else is said. */
const SPREAD = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map(
  (topologyKey): SpreadConstraint => ({ maxSkew: 1, topologyKey, whenUnsatisfiable: "ScheduleAnyway" }),
);

/** What every instance of a Gateway is made of. Both processes withdraw and wait when they are ended: no preStop hook. */
export function podTemplate(gateway: Gateway, parameters: GatewayParameters, options: PodTemplateOptions): object {
  const { image, labels, serviceAccount, families } = options;
  const spread = (constraint: SpreadConstraint): object => ({
    ...constraint,
    labelSelector: { matchLabels: labels },
    matchLabelKeys: ["pod-template-hash"],
  });
  const infrastructure = gateway.spec.infrastructure;
  const { pods = {} } = parameters.spec;
  const { nodeSelector, tolerations, priorityClassName } = pods;
  return {
    metadata: {
      labels: { ...infrastructure?.labels, ...pods.labels, ...labels },
      annotations: {
        ...infrastructure?.annotations,
        ...pods.annotations,
        [NETWORKS_ANNOTATION]: JSON.stringify(attachments(parameters)),
        "kubectl.kubernetes.io/default-container": "proxy",
      },
    },
    spec: {
      serviceAccountName: serviceAccount,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: GRACE_SECONDS,
      readinessGates: families.map((family) => ({ conditionType: POD_READY_CONDITION[family] })),
      ...(nodeSelector === undefined ? {} : { nodeSelector }),
      ...(tolerations === undefined ? {} : { tolerations }),
      ...(priorityClassName === undefined ? {} : { priorityClassName }),
      topologySpreadConstraints: (pods.topologySpread ?? SPREAD).map(spread),
      securityContext: { seccompProfile: { type: "RuntimeDefault" } },
      initContainers: [
        {
          name: "settings",
          image,
          // /proc/sys can be written by privileged containers only: this one sets what forwarding needs, and ends.
          command: ["sh", "-c", SETTINGS_SCRIPT, "settings"],
          args: settingsOf(parameters),
          resources: DEFAULT_RESOURCES,
          securityContext: { privileged: true, readOnlyRootFilesystem: true, runAsUser: 0 },
          terminationMessagePolicy: "FallbackToLogsOnError",
        },
      ],
      containers: PROCESSES.map((process) => container(gateway, parameters, options, process)),
      volumes: [{ name: "run", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } }],
    },
  };
}
