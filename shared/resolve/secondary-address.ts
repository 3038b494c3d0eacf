import { z } from "zod";
import type { Pod } from "../api/core.ts";
import { NETWORK_STATUS_ANNOTATION } from "../api/names.ts";
import { type Family, familyOf, type Ip, parseIp } from "../net/ip.ts";
import { parseJson } from "./parse-json.ts";

/** A service network, as the annotation of a Service names it. */
export interface NetworkRef {
  readonly namespace: string;
  readonly name: string;
  /** Interface of the pod; any when absent. */
  readonly interface: string | undefined;
}

const NETWORK_REF =
  /^(?:(?<namespace>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\/)?(?<name>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)(?:@(?<interface>[^\s/:"\\@]{1,15}))?$/;

/** `[namespace/]network[@interface]`; undefined when `text` is not of that form. */
export function parseNetworkRef(text: string, defaultNamespace: string): NetworkRef | undefined {
  const groups = text.length > 600 ? undefined : NETWORK_REF.exec(text.trim())?.groups;
  if (groups?.name === undefined) return undefined;
  return { namespace: groups.namespace ?? defaultNamespace, name: groups.name, interface: groups.interface };
}

function describeNetwork({ namespace, name, interface: device }: NetworkRef): string {
  return `${namespace}/${name}${device === undefined ? "" : `@${device}`}`;
}

/** Kubernetes' own limit on all annotations of an object together. */
const MAX_ANNOTATION_LENGTH = 256 * 1024;

/** Loose on purpose: what is wrong with one attachment must not hide the others. */
const attachmentsSchema = z.array(z.looseObject({ name: z.string() }));
const attachmentSchema = z.looseObject({
  name: z.string(),
  interface: z.string().optional(),
  ips: z.array(z.string()).nullish(),
});

export type SecondaryAddresses =
  | { readonly addresses: Readonly<Partial<Record<Family, Ip>>> }
  /** What is wrong with which field of the annotation, and how it is put right. */
  | { readonly problem: string };

function problem(text: string): SecondaryAddresses {
  return { problem: `annotation ${NETWORK_STATUS_ANNOTATION} ${text}` };
}

/** The addresses of one attachment: the first of each family, as a pod has one `podIP` of each. */
function addressesOf(ips: readonly string[], index: number): SecondaryAddresses {
  const addresses: Partial<Record<Family, Ip>> = {};
  for (const [position, text] of ips.entries()) {
    const address = parseIp(text);
    if (address === undefined) {
      return problem(`has at [${index}].ips[${position}] ${JSON.stringify(text.slice(0, 64))}, which is no IP address`);
    }
    addresses[familyOf(address)] ??= address;
    if (addresses[4] !== undefined && addresses[6] !== undefined) break;
  }
  return addresses[4] === undefined && addresses[6] === undefined
    ? problem(`lists no address at [${index}].ips; the network's IPAM has given the pod none`)
    : { addresses };
}

/** The pod's addresses on a network, from what Multus wrote on the pod. */
export function secondaryAddresses(pod: Pod, network: NetworkRef): SecondaryAddresses {
  const text = pod.metadata.annotations[NETWORK_STATUS_ANNOTATION];
  if (text === undefined) return problem("is missing: Multus has attached no network to the pod");
  if (text.length > MAX_ANNOTATION_LENGTH) {
    return problem(`has ${text.length} characters; at most ${MAX_ANNOTATION_LENGTH} are read`);
  }
  const attachments = attachmentsSchema.safeParse(parseJson(text));
  if (!attachments.success) {
    return problem(
      'does not parse; it must be a JSON list of attachments such as [{"name":"ns/net","ips":["192.0.2.1"]}]',
    );
  }
  const wanted = `${network.namespace}/${network.name}`;
  const index = attachments.data.findIndex(
    (attachment) =>
      attachment.name === wanted && (network.interface === undefined || attachment.interface === network.interface),
  );
  if (index < 0) {
    const names = attachments.data.slice(0, 8).map(({ name }) => name.slice(0, 64));
    return problem(
      `does not list ${describeNetwork(network)}, only ${names.join(", ") || "nothing"}; attach the pod to the ` +
        "network, or name another one on the Service",
    );
  }
  const attachment = attachmentSchema.safeParse(attachments.data[index]);
  if (!attachment.success) {
    const [issue] = attachment.error.issues;
    return problem(`has at [${index}].${issue?.path.join(".") ?? ""} something else than expected: ${issue?.message}`);
  }
  return addressesOf(attachment.data.ips ?? [], index);
}
