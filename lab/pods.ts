import { stringify } from "yaml";
import { GATEWAY_NAME_LABEL, NETWORK_STATUS_ANNOTATION } from "#shared/api/names.ts";
import type { Ip } from "#shared/net/ip.ts";
import type { Attachment, ResolvedNode, ResolvedTopology } from "./resolve-topology.ts";

const NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks";

/** A node that stands for a Pod: a target, a relay, a server of Topics or a gateway instance. */
export interface LabPod {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly ips: readonly string[];
}

function podNamespace({ spec }: ResolvedNode): string | undefined {
  if (spec.role === "target" || spec.role === "relay" || spec.role === "topics") return spec.namespace;
  return spec.role === "gateway" ? spec.gateway.split("/")[0] : undefined;
}

const isPrimary = (topology: ResolvedTopology, segment: string): boolean =>
  topology.segments.some(({ name, primary }) => name === segment && primary);

function ipsOf(attachment: Attachment | undefined): Ip[] {
  return [attachment?.ipv4, attachment?.ipv6].filter((address) => address !== undefined);
}

/** The Pods of a lab, in the order of the topology. */
export function labPods(topology: ResolvedTopology): LabPod[] {
  return topology.nodes.flatMap((node) => {
    const namespace = podNamespace(node);
    const primary = node.attachments.find(({ segment }) => isPrimary(topology, segment));
    const ips = ipsOf(primary ?? node.attachments[0]);
    return namespace === undefined ? [] : [{ namespace, name: node.name, node: node.name, ips }];
  });
}

/** Pods with the annotations that Multus writes on a cluster, of those of the nodes that stand for one. */
function podDocuments(topology: ResolvedTopology, names: readonly string[]): readonly object[] {
  return topology.nodes.flatMap((node) => {
    const namespace = podNamespace(node);
    const { role } = node.spec;
    if (namespace === undefined || role === "client" || role === "router" || role === "host") return [];
    if (!names.includes(node.name)) return [];
    const attachments = node.attachments.map((attachment) => {
      const nad = topology.segments.find(({ name }) => name === attachment.segment)?.nad ?? attachment.segment;
      const common = { interface: attachment.interface, ips: ipsOf(attachment), mac: attachment.mac };
      return isPrimary(topology, attachment.segment)
        ? { name: nad, ...common, default: true }
        : { name: `${namespace}/${nad}`, ...common };
    });
    const gateway = node.spec.role === "gateway" ? { [GATEWAY_NAME_LABEL]: node.spec.gateway.split("/")[1] } : {};
    const host = topology.segments
      .flatMap(({ vxlan }) => vxlan?.hosts ?? [])
      .find(({ members }) => members.includes(node.name));
    return [
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name: node.name,
          namespace,
          labels: { ...node.spec.labels, ...gateway },
          annotations: {
            [NETWORKS_ANNOTATION]: JSON.stringify(
              attachments
                .filter((attachment) => !("default" in attachment))
                .map(({ name, interface: device }) => ({
                  name: name.slice(namespace.length + 1),
                  namespace,
                  interface: device,
                })),
            ),
            [NETWORK_STATUS_ANNOTATION]: JSON.stringify(attachments),
          },
        },
        spec: { nodeName: host?.name ?? node.name },
      },
    ];
  });
}

/**
 * `pods.yaml`: the Pods of all nodes, or of some. Pure.
 * @param names of nodes.
 */
export function podManifests(
  topology: ResolvedTopology,
  names: readonly string[] = topology.nodes.map(({ name }) => name),
): string {
  return podDocuments(topology, names)
    .map((document) => `---\n${stringify(document, { lineWidth: 0 })}`)
    .join("");
}
