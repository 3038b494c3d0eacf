import { readFile } from "node:fs/promises";
import { isNode, LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { parseCidr, parseIp } from "#shared/net/ip.ts";
import { LabError } from "./lab-error.ts";

/** Names become network namespaces, folders and parts of socket paths. */
const NAME = /^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/;
/** Folder and log prefix of the processes that belong to no node. */
export const CLUSTER = "cluster";

const name = z
  .string()
  .regex(NAME, "must be 1-40 of a-z, 0-9 and '-', starting and ending with a letter or digit")
  .refine((text) => text !== CLUSTER, `"${CLUSTER}" is reserved for the controller and the node agent`);
const interfaceName = z
  .string()
  .regex(/^[a-z][a-z0-9.-]{0,14}$/, "must be an interface name of 1-15 of a-z, 0-9, '.', '-'");
const prefix = z.string().transform((text, context) => {
  const parsed = parseCidr(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: `${JSON.stringify(text)} is no prefix: write address/length` });
  return z.NEVER;
});
const address = z.string().transform((text, context) => {
  const parsed = parseIp(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: `${JSON.stringify(text)} is no IP address` });
  return z.NEVER;
});
const prefix4 = prefix.refine((text) => !text.includes(":"), "must be an IPv4 prefix");
const prefix6 = prefix.refine((text) => text.includes(":"), "must be an IPv6 prefix");
const address4 = address.refine((text) => !text.includes(":"), "must be an IPv4 address");
const address6 = address.refine((text) => text.includes(":"), "must be an IPv6 address");
const asn = z.int().min(1).max(4_294_967_294);
const port = z.int().min(1).max(65_535);
const reference = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, "must be namespace/name");

const route = z.strictObject({
  to: prefix.describe("destination prefix"),
  via: z.array(address).min(1).max(64).describe("next hops of one family; several make an ECMP route"),
});

const processSchema = z.strictObject({
  name: name.describe("names the log file and the line in `lab status`"),
  command: z.array(z.string().min(1)).min(1).describe("program and arguments, run in the node's network namespace"),
});

const common = {
  routes: z.array(route).max(256).default([]).describe("static routes beside those the lab derives"),
  processes: z.array(processSchema).max(16).default([]).describe("programs to keep running beside the role's own"),
};
const sysctls = z
  .record(
    z.string().regex(/^net\.[A-Za-z0-9_.-]+$/, "must be a net.* sysctl"),
    z.coerce.string().regex(/^[0-9 ]+$/, "must be one or more numbers"),
  )
  .default({})
  .describe("extra net.* sysctls of the node");

const labels = z
  .record(
    z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/),
    z.string().regex(/^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$/),
  )
  .default({})
  .describe("labels of the Pod");

const nodeSchema = z.discriminatedUnion("role", [
  z.strictObject({
    role: z.literal("client").describe("sends traffic; its default route is the router it shares a network with"),
    sysctls,
    ...common,
  }),
  z.strictObject({
    role: z.literal("router").describe("runs BIRD 2 and peers with every gateway it shares a network with"),
    asn: asn.describe("its autonomous system"),
    sysctls,
    ...common,
  }),
  z.strictObject({
    role: z.literal("gateway").describe("one instance of a Gateway: runs `causeway proxy` and `causeway frontend`"),
    gateway: reference.describe("the Gateway it is an instance of, namespace/name"),
    asn: asn.describe("its autonomous system, as the BgpPeer manifests say"),
    run: z
      .array(z.enum(["proxy", "frontend"]))
      .default(["proxy", "frontend"])
      .describe("which of its processes the lab starts; [] for a bare namespace"),
    labels,
    ...common,
  }),
  z.strictObject({
    role: z.literal("target").describe("a pod on a service network; runs `causeway echo`"),
    namespace: name.default("default").describe("namespace of its Pod"),
    echo: z
      .strictObject({ tcp: z.array(port).max(64).default([]), udp: z.array(port).max(64).default([]) })
      .optional()
      .describe("ports of the echo service; without it the target runs only its own `processes`"),
    labels,
    sysctls,
    ...common,
  }),
  z.strictObject({
    role: z.literal("relay").describe("introduces DDS participants to each other: runs `causeway discovery`"),
    namespace: name.default("default").describe("namespace of its Pod"),
    labels,
    sysctls,
    ...common,
  }),
  z.strictObject({
    role: z.literal("topics").describe("serves the Topics of the Services that select its Pod: runs `causeway topics`"),
    namespace: name.default("default").describe("namespace of its Pod"),
    labels,
    sysctls,
    ...common,
  }),
  z.strictObject({
    role: z.literal("host").describe("forwards between its networks and runs nothing else"),
    sysctls,
    ...common,
  }),
]);

const memberObject = z.strictObject({
  node: name,
  interface: interfaceName.optional().describe("name of this member's interface; default: the network's"),
  ipv4: address4.optional().describe("default: the lowest free address of the prefix, in the order of the members"),
  ipv6: address6.optional().describe("default: the same host number as its IPv4 address where that is free"),
});
const member = z.preprocess((value) => (typeof value === "string" ? { node: value } : value), memberObject);
const members = z.array(member).min(1).max(256);

const networkCommon = {
  primary: z
    .boolean()
    .default(false)
    .describe(
      "the network that every pod has in a cluster, where ordinary Services are reached: Multus attaches nobody to it",
    ),
  interface: interfaceName.describe("name of the members' interfaces"),
  mtu: z.int().min(1280).max(9216).default(1500),
  nad: name
    .optional()
    .describe("NetworkAttachmentDefinition that Pods' network-status names; default: the network's name"),
  link: z
    .strictObject({
      delayMs: z.number().min(0).max(10_000).default(0).describe("one-way delay of every member's link, ms"),
      lossPercent: z.number().min(0).max(100).default(0).describe("packets lost on every member's link, percent"),
    })
    .optional()
    .describe("needs the kernel's netem; a kernel without it refuses the topology"),
};
const prefixes = { ipv4: prefix4.optional(), ipv6: prefix6.optional() };

const networkSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("bridge").describe("one layer 2 segment; a pair of members is joined by a veth without a bridge"),
    ...networkCommon,
    ...prefixes,
    members,
  }),
  z.strictObject({
    type: z
      .literal("vxlan")
      .describe("one segment over several hosts: each a namespace with a bridge and a VXLAN device"),
    ...networkCommon,
    ...prefixes,
    vni: z.int().min(1).max(16_777_215),
    underlay: z.strictObject({ ipv4: prefix4, mtu: z.int().min(1330).max(9266).default(1500) }),
    hosts: z.record(name, z.strictObject({ members })).describe("the hosts and the members on each"),
  }),
  z.strictObject({
    type: z
      .literal("routed")
      .describe(
        "several segments joined by a router: gateways get routes to the others' prefixes, targets and clients a default, the router an ECMP default over the gateways",
      ),
    ...networkCommon,
    router: name.describe("node of role host that joins the segments; it takes the first free address of each"),
    segments: z.record(name, z.strictObject({ ...prefixes, members })),
  }),
]);

/** A lab's topology file: what `topology.yaml` holds. Field by field documentation is in the descriptions. */
export const topologySchema = z.strictObject({
  name: name.describe("what the topology is called"),
  description: z.string().max(500).default("").describe("one line for `lab status`"),
  manifests: z.string().min(1).default("manifests").describe("folder of manifests, relative to the file"),
  cluster: z
    .array(z.enum(["controller", "node"]))
    .default(["controller", "node"])
    .describe("processes that run once per lab; [] for a lab of networks alone"),
  bgp: z
    .strictObject({
      pools: z.array(prefix).max(64).describe("prefixes that routers accept from gateways: the VIP pools"),
      password: z
        .string()
        .min(1)
        .max(80)
        .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, "must be printable, without spaces, quotes and backslashes")
        .optional()
        .describe("TCP MD5 password (RFC 2385) of every session"),
      holdTimeS: z.int().min(3).max(65_535).default(9).describe("hold time that routers propose"),
      ttlSecurity: z.boolean().default(false).describe("RFC 5082: accept packets with TTL 255 only"),
      gracefulRestart: z
        .boolean()
        .default(false)
        .describe("RFC 4724: routers take part in graceful restarts, their own included"),
      bfd: z
        .strictObject({
          intervalMs: z.int().min(10).max(10_000).default(100),
          multiplier: z.int().min(2).max(50).default(3),
        })
        .optional()
        .describe("BFD on every session (RFC 5880)"),
    })
    .optional()
    .describe("what routers and gateways speak; needed when there is a router"),
  nodes: z.record(name, nodeSchema),
  networks: z.record(name, networkSchema),
});

export type Topology = z.infer<typeof topologySchema>;
export type TopologyNode = Topology["nodes"][string];
export type TopologyNetwork = Topology["networks"][string];
export type Member = z.infer<typeof member>;

/** A fault in a topology file. `line` is 1-based. */
export interface TopologyProblem {
  readonly path: string;
  readonly message: string;
  readonly line?: number;
}

/** A topology file with faults: all of them, each with its line and path. */
export class TopologyError extends LabError {
  override name = "TopologyError";
  readonly problems: readonly TopologyProblem[];
  constructor(file: string, problems: readonly TopologyProblem[]) {
    const lines = problems.map(
      ({ path, message, line }) =>
        `  ${file}${line === undefined ? "" : `:${line}`}: ${path === "" ? "" : `${path}: `}${message}`,
    );
    super(`the topology has ${problems.length} problem${problems.length === 1 ? "" : "s"}:\n${lines.join("\n")}`);
    this.problems = problems;
  }
}

/**
 * Parses a topology's YAML. `check` adds the problems that concern several fields at once; it runs only on a document
 * whose fields are each valid. @throws TopologyError with every problem found.
 */
export function parseTopology(
  text: string,
  file: string,
  check: (topology: Topology) => readonly { path: readonly PropertyKey[]; message: string }[] = () => [],
): Topology {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter });
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ message, linePos }) => ({
      path: "",
      message: message.split("\n")[0] ?? message,
      ...(linePos === undefined ? {} : { line: linePos[0].line }),
    }));
    throw new TopologyError(file, problems);
  }
  const locate = (path: readonly PropertyKey[]): number | undefined => {
    for (let depth = path.length; depth >= 0; depth -= 1) {
      const found: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
      if (isNode(found) && found.range) return counter.linePos(found.range[0]).line;
    }
    return undefined;
  };
  const toProblem = (path: readonly PropertyKey[], message: string): TopologyProblem => {
    const line = locate(path);
    return { path: path.map(String).join("."), message, ...(line === undefined ? {} : { line }) };
  };
  const parsed = topologySchema.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (!parsed.success) {
    throw new TopologyError(
      file,
      parsed.error.issues.map(({ path, message }) => toProblem(path, message)),
    );
  }
  const problems = check(parsed.data);
  if (problems.length > 0) {
    throw new TopologyError(
      file,
      problems.map(({ path, message }) => toProblem(path, message)),
    );
  }
  return parsed.data;
}

/** Text of a topology file. @throws LabError when it cannot be read. */
export async function readTopologyFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new LabError(`cannot read the topology ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
