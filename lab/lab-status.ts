import { z } from "zod";

const processStatusSchema = z.object({
  name: z.string(),
  /** As seen inside the lab: `lab exec NODE -- kill PID`. */
  pid: z.int().optional(),
  state: z.enum(["running", "waiting", "stopped"]),
  ready: z.boolean(),
  /** Times it was started again after it had died. */
  restarts: z.int(),
  rssBytes: z.int().optional(),
});

const nodeStatusSchema = z.object({
  name: z.string(),
  role: z.string(),
  /** Held down by `lab stop`. */
  stopped: z.boolean(),
  /** Its Pod is terminating, by `lab drain`. */
  draining: z.boolean(),
  addresses: z.array(z.object({ interface: z.string(), ipv4: z.string().optional(), ipv6: z.string().optional() })),
  processes: z.array(processStatusSchema),
});

/** What an instance does with one kind of packet. */
const serviceStatusSchema = z.object({
  node: z.string(),
  gateway: z.string(),
  name: z.string(),
  vips: z.array(z.string()),
  /** `8080`, or a range `5000-5999`; empty for any. */
  ports: z.array(z.string()),
  protocols: z.array(z.string()),
  readyTargets: z.int(),
  packets: z.number(),
  bytes: z.number(),
});

/** What an instance has sent to one target; `name` is the Pod's namespace/name. */
const targetStatusSchema = z.object({
  node: z.string(),
  name: z.string(),
  packets: z.number(),
  bytes: z.number(),
});

const vipStatusSchema = z.object({
  address: z.string(),
  gateway: z.string(),
  router: z.string(),
  /** Gateway nodes that ought to carry it, and those that the router's kernel sends it to. */
  expected: z.array(z.string()),
  nextHops: z.array(z.string()),
});

const sessionStatusSchema = z.object({
  node: z.string(),
  peer: z.string(),
  address: z.string(),
  family: z.enum(["IPv4", "IPv6"]),
  state: z.string(),
});

/** What the supervisor answers to GET /status. */
export const labStatusSchema = z.object({
  name: z.string(),
  topology: z.string(),
  description: z.string(),
  topologyFile: z.string(),
  folder: z.string(),
  manifests: z.string(),
  startedAt: z.string(),
  /** Nothing left to wait for. */
  converged: z.boolean(),
  waitingFor: z.array(z.string()),
  nodes: z.array(nodeStatusSchema),
  sessions: z.array(sessionStatusSchema),
  vips: z.array(vipStatusSchema),
  services: z.array(serviceStatusSchema),
  targets: z.array(targetStatusSchema),
});

export type LabStatus = z.infer<typeof labStatusSchema>;
export type NodeStatus = z.infer<typeof nodeStatusSchema>;
export type ProcessStatus = z.infer<typeof processStatusSchema>;
export type VipStatus = z.infer<typeof vipStatusSchema>;
export type SessionStatus = z.infer<typeof sessionStatusSchema>;
export type TargetStatus = z.infer<typeof targetStatusSchema>;
export type ServiceStatus = z.infer<typeof serviceStatusSchema>;
