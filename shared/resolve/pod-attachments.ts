import { z } from "zod";
import type { Pod } from "#shared/api/core.ts";
import { NETWORK_STATUS_ANNOTATION } from "#shared/api/names.ts";
import { type Family, familyOf, type Ip, parseIp } from "#shared/net/ip.ts";
import { parseJson } from "./parse-json.ts";

/** One attachment of a pod to a network, as Multus wrote it on the pod. */
export interface PodAttachment {
  /** `namespace/name` of the NetworkAttachmentDefinition. */
  readonly network: string;
  readonly interface: string;
  readonly addresses: readonly Ip[];
}

/** Loose on purpose: what is wrong with one attachment must not hide the others. */
const attachmentsSchema = z.array(z.unknown());
const attachmentSchema = z.looseObject({
  name: z.string(),
  interface: z.string().regex(/^[^\s/:"\\]{1,15}$/),
  ips: z.array(z.string()).nullish(),
});

/** The attachments that can be used: those that name their interface. None where the annotation is missing or broken. */
export function podAttachments(pod: Pod): readonly PodAttachment[] {
  const listed = attachmentsSchema.safeParse(parseJson(pod.metadata.annotations[NETWORK_STATUS_ANNOTATION] ?? ""));
  if (!listed.success) return [];
  return listed.data.flatMap((entry) => {
    const attachment = attachmentSchema.safeParse(entry);
    if (!attachment.success) return [];
    const addresses = (attachment.data.ips ?? []).map(parseIp).filter((address) => address !== undefined);
    return [{ network: attachment.data.name, interface: attachment.data.interface, addresses }];
  });
}

/** The attachment to a network; of several, the one that has the address, then the one with the interface. */
export function attachmentTo(
  attachments: readonly PodAttachment[],
  network: string,
  prefer: { readonly interface?: string | undefined; readonly address?: Ip | undefined },
): PodAttachment | undefined {
  const candidates = attachments.filter((attachment) => attachment.network === network);
  const { address } = prefer;
  return (
    candidates.find((attachment) => address !== undefined && attachment.addresses.includes(address)) ??
    candidates.find((attachment) => attachment.interface === prefer.interface) ??
    (prefer.interface === undefined ? candidates[0] : undefined)
  );
}

/** The attachment's first address of a family, as a pod has one `podIP` of each. */
export function addressOf(attachment: PodAttachment, family: Family): Ip | undefined {
  return attachment.addresses.find((address) => familyOf(address) === family);
}
