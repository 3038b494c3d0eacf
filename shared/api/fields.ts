import { z } from "zod";
import { type Cidr, type Ip, type IpRange, parseCidr, parseIp, parseIpRange } from "../net/ip.ts";

/** Turns a parser that answers undefined for bad input into a schema whose message says what would be right. */
function parsed<T>(parse: (text: string) => T | undefined, wanted: string) {
  return z.string().transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: `${JSON.stringify(text)} is not ${wanted}` });
    return z.NEVER;
  });
}

export const ipField = parsed<Ip>(parseIp, "an IP address (for example 192.0.2.1 or 2001:db8::1)");
export const cidrField = parsed<Cidr>(parseCidr, "a prefix (for example 192.0.2.0/24 or 2001:db8::/64)");

/** A prefix or a range `first-last`, kept as text with its canonical span beside it. */
export interface AddressBlock extends IpRange {
  readonly text: string;
}
export const addressBlockField = parsed<AddressBlock>((text) => {
  const range = parseIpRange(text);
  return range && { ...range, text };
}, "a prefix or a range (for example 192.0.2.0/24 or 192.0.2.10-192.0.2.20)");

/** RFC 1035 label, as Kubernetes wants names of ports, listeners and interfaces' objects. */
export const labelField = z
  .string()
  .max(63)
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
    "must be lower-case letters, digits and '-', beginning and ending with a letter or digit",
  );

/** RFC 1123 subdomain: the name of most objects. */
export const nameField = z
  .string()
  .min(1)
  .max(253)
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    "must be lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
  );

/** A NetworkAttachmentDefinition, of the object's own namespace when none is named. */
export const networkNameField = z
  .string()
  .regex(
    /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/,
    "must be [namespace/]name of a NetworkAttachmentDefinition",
  );

/** A Linux network interface name (IFNAMSIZ is 16 with the terminator). */
export const interfaceField = z.string().regex(/^[^\s/:"\\]{1,15}$/, "must be an interface name of 1 to 15 characters");

export const portField = z.int().min(1).max(65535);
export const asnField = z.int().min(1).max(4_294_967_294);
export const weightField = z.int().min(0).max(1_000_000);

/** One number, or an inclusive range `from-to`. */
interface NumberRange {
  readonly from: number;
  readonly to: number;
}

function rangeField(largest: number, wanted: string) {
  return z.union([z.int(), z.string()]).transform((input, context): NumberRange => {
    const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(String(input));
    const from = Number(match?.[1]);
    const to = Number(match?.[2] ?? match?.[1]);
    if (match !== null && from <= to && to <= largest) return { from, to };
    context.addIssue({ code: "custom", message: `${JSON.stringify(input)} is not ${wanted}` });
    return z.NEVER;
  });
}

/** One port, or an inclusive range `from-to`. */
export type PortRange = NumberRange;
export const portRangeField = rangeField(65_535, "a port (0 to 65535) or a range of ports (for example 5000-5999)");
/** One DDS domain id, or an inclusive range `from-to`. */
export const domainRangeField = rangeField(232, "a domain id (0 to 232) or a range of them (for example 10-19)");
