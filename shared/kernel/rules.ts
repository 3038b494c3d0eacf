import { canonicalPrefix, type Family, formatAddress, prefixBytes } from "./address-bytes.ts";
import { type Action, applyPlan, type FailedChange, type Plan } from "./apply-plan.ts";
import { KernelInvalidError } from "./kernel-error.ts";
import { type MessageWriter, type NetlinkMessage, parseAttributes, readU8, readU32 } from "./netlink-message.ts";
import { type NetlinkRequest, type NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL } from "./netlink-socket.ts";

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const FIB_RULE_HDR_BYTES = 12;
const AF_INET = 2;
const AF_INET6 = 10;
const FIB_RULE_INVERT = 2;
const FRA = {
  to: 1,
  from: 2,
  iif: 3,
  goto: 4,
  priority: 6,
  fwmark: 10,
  suppressGroup: 13,
  suppressPrefixLength: 14,
  table: 15,
  fwmask: 16,
  oif: 17,
  pad: 18,
  protocol: 21,
  ipProtocol: 22,
};
const ACTIONS = { lookup: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 };
/** 0xffffffff is the kernel's "does not suppress". */
const NO_SUPPRESSION = 0xffffffff;

type RuleAction =
  | { readonly kind: "lookup"; readonly table: number }
  /** Continue at the rule with this priority, which must come later. */
  | { readonly kind: "goto"; readonly priority: number }
  | { readonly kind: "unreachable" | "blackhole" | "prohibit" | "nop" };

export interface Rule {
  readonly family: Family;
  /** 0 to 2^32-1, looked at in ascending order. */
  readonly priority: number;
  readonly action: RuleAction;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly fwmark?: number | undefined;
  /** Default: all 32 bits when there is a mark. */
  readonly fwmask?: number | undefined;
  /** Device names, which need not exist yet. */
  readonly iif?: string | undefined;
  readonly oif?: string | undefined;
  /** Number of the transport protocol (Linux 4.17). */
  readonly ipProtocol?: number | undefined;
  /** The rule holds for packets that do not match. */
  readonly invert?: boolean;
  /** Ignore the table's routes with a prefix of this length or shorter. */
  readonly suppressPrefixLength?: number | undefined;
  /** FRA_PROTOCOL, who made it. Default 4, "static". */
  readonly protocol?: number | undefined;
}

export interface ListedRule extends Rule {
  readonly protocol: number;
  /** Attributes of the kernel that this module does not know, by number: the rule selects on more than is shown. */
  readonly unknown: readonly number[];
}

/** The rules of a family or both, those with a protocol tag when given. */
export function listRules(
  socket: NetlinkSocket,
  filter: { readonly family?: Family; readonly protocol?: number } = {},
): ListedRule[] {
  const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
  return families.flatMap((family) => {
    const request: NetlinkRequest = {
      type: RTM_GETRULE,
      flags: 0,
      describe: () => `IPv${family} rules`,
      write: (writer) =>
        void writer
          .u8(family === 4 ? AF_INET : AF_INET6)
          .u8(0)
          .u16(0)
          .u32(0)
          .u32(0),
    };
    return socket.dump(request, (message) => {
      const rule = parseRule(message);
      return filter.protocol === undefined || rule?.protocol === filter.protocol ? rule : undefined;
    });
  });
}

/** Throws KernelExistsError when there is a rule that differs at most in its protocol tag. */
export function addRule(socket: NetlinkSocket, rule: Rule): void {
  socket.request(ruleRequest("add", rule));
}

/**
 * The kernel deletes the first rule of this priority that has what is given here: a selector that is left out matches any.
 * Give rules that differ only in selectors different priorities.
 */
export function deleteRule(socket: NetlinkSocket, rule: Rule): void {
  socket.request(ruleRequest("delete", rule));
}

export function applyRules(socket: NetlinkSocket, plan: Plan<Rule>): FailedChange<Rule>[] {
  return applyPlan(socket, plan, ruleRequest);
}

/** The whole rule in words with its defaults: equal rules have equal text. */
export function ruleText(rule: Rule): string {
  const { action, fwmark, suppressPrefixLength: suppress } = rule;
  const mask = fwmark === undefined && rule.fwmask === undefined ? undefined : (rule.fwmask ?? 0xffffffff);
  const parts = [
    `IPv${rule.family} rule ${rule.priority}:`,
    rule.invert && "not",
    `from ${prefixOrAll(rule.from)} to ${prefixOrAll(rule.to)}`,
    mask !== undefined && `fwmark 0x${(fwmark ?? 0).toString(16)}/0x${mask.toString(16)}`,
    rule.iif !== undefined && `iif ${rule.iif}`,
    rule.oif !== undefined && `oif ${rule.oif}`,
    rule.ipProtocol !== undefined && `ipproto ${rule.ipProtocol}`,
    action.kind,
    action.kind === "lookup" && action.table,
    action.kind === "goto" && action.priority,
    suppress !== undefined && `suppress_prefixlength ${suppress}`,
    `proto ${rule.protocol ?? 4}`,
  ];
  return parts.filter((part) => part !== false && part !== undefined).join(" ");
}

function prefixOrAll(prefix: string | undefined): string {
  return prefix === undefined || prefix.endsWith("/0") ? "all" : canonicalPrefix(prefix);
}

function ruleRequest(action: Action, rule: Rule): NetlinkRequest {
  return {
    type: action === "delete" ? RTM_DELRULE : RTM_NEWRULE,
    flags: action === "delete" ? 0 : NLM_F_CREATE | NLM_F_EXCL,
    describe: () => `IPv${rule.family} rule ${rule.priority} ${rule.action.kind}`,
    write: (writer) => writeRule(writer, rule),
  };
}

function writeRule(writer: MessageWriter, rule: Rule): void {
  const { action } = rule;
  const from = selector(rule, rule.from);
  const to = selector(rule, rule.to);
  writer
    .u8(rule.family === 4 ? AF_INET : AF_INET6)
    .u8(to?.length ?? 0)
    .u8(from?.length ?? 0)
    .u8(0);
  writer
    .u8(0)
    .u16(0)
    .u8(ACTIONS[action.kind])
    .u32(rule.invert ? FIB_RULE_INVERT : 0);
  writer.attributeU32(FRA.priority, rule.priority);
  if (to) writer.attribute(FRA.to, to.bytes);
  if (from) writer.attribute(FRA.from, from.bytes);
  if (rule.fwmark !== undefined || rule.fwmask !== undefined) {
    writer.attributeU32(FRA.fwmark, rule.fwmark ?? 0).attributeU32(FRA.fwmask, rule.fwmask ?? 0xffffffff);
  }
  if (rule.iif !== undefined) writer.attributeString(FRA.iif, deviceName(rule.iif));
  if (rule.oif !== undefined) writer.attributeString(FRA.oif, deviceName(rule.oif));
  if (rule.ipProtocol !== undefined) writer.attributeU8(FRA.ipProtocol, rule.ipProtocol);
  if (action.kind === "lookup") writer.attributeU32(FRA.table, action.table);
  if (action.kind === "goto") writer.attributeU32(FRA.goto, action.priority);
  if (rule.suppressPrefixLength !== undefined) {
    writer.attributeU32(FRA.suppressPrefixLength, rule.suppressPrefixLength);
  }
  writer.attributeU8(FRA.protocol, rule.protocol ?? 4);
}

function selector(rule: Rule, prefix: string | undefined) {
  if (prefix === undefined || prefix.endsWith("/0")) return undefined;
  const parsed = prefixBytes(prefix);
  if (parsed.family === rule.family) return parsed;
  throw new KernelInvalidError(`prefix ${prefix}`, "EINVAL", `does not fit an IPv${rule.family} rule`);
}

/** IFNAMSIZ is 16 with the NUL. */
function deviceName(name: string): string {
  if (/^[^\s/\0]{1,15}$/.test(name)) return name;
  throw new KernelInvalidError(`device "${name}"`, "EINVAL", "is not a device name of 1 to 15 characters");
}

function parseRule({ type, payload }: NetlinkMessage): ListedRule | undefined {
  const familyByte = readU8(payload, 0);
  if (type !== RTM_NEWRULE || (familyByte !== AF_INET && familyByte !== AF_INET6)) return undefined;
  const attributes = parseAttributes(payload, FIB_RULE_HDR_BYTES);
  const actionByte = readU8(payload, 7);
  const kind = actionKind(actionByte);
  const table = attributes.u32(FRA.table) ?? readU8(payload, 4);
  const from = attributes.bytes(FRA.from);
  const to = attributes.bytes(FRA.to);
  const suppress = attributes.u32(FRA.suppressPrefixLength);
  const mask = attributes.u32(FRA.fwmask);
  const known = new Set(Object.values(FRA));
  return {
    family: familyByte === AF_INET ? 4 : 6,
    priority: attributes.u32(FRA.priority) ?? 0,
    action:
      kind === "lookup"
        ? { kind, table }
        : kind === "goto"
          ? { kind, priority: attributes.u32(FRA.goto) ?? 0 }
          : { kind },
    from: from && `${formatAddress(from)}/${readU8(payload, 2)}`,
    to: to && `${formatAddress(to)}/${readU8(payload, 1)}`,
    fwmark: mask === undefined ? undefined : (attributes.u32(FRA.fwmark) ?? 0),
    fwmask: mask,
    iif: attributes.string(FRA.iif),
    oif: attributes.string(FRA.oif),
    ipProtocol: attributes.u8(FRA.ipProtocol),
    invert: (readU32(payload, 8) & FIB_RULE_INVERT) !== 0,
    suppressPrefixLength: suppress === NO_SUPPRESSION ? undefined : suppress,
    protocol: attributes.u8(FRA.protocol) ?? 0,
    unknown: [...attributes.types()].filter((attribute) => !known.has(attribute)),
  };
}

function actionKind(action: number) {
  for (const kind of ["lookup", "goto", "nop", "blackhole", "unreachable", "prohibit"] as const) {
    if (ACTIONS[kind] === action) return kind;
  }
  return "nop";
}
