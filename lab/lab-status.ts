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
  addresses: z.array(z.object({ interface: z.string(), ipv4: z.string().optional(), ipv6: z.string().optional() })),
  processes: z.array(processStatusSchema),
});

const serviceStatusSchema = z.object({
  node: z.string(),
  gateway: z.string(),
  name: z.string(),
  vips: z.array(z.string()),
  port: z.union([z.int(), z.string()]),
  protocol: z.string(),
  packets: z.number(),
  bytes: z.number(),
  targets: z.array(z.object({ name: z.string(), packets: z.number(), bytes: z.number() })),
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
  family: z.union([z.literal(4), z.literal(6)]),
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
});

export type LabStatus = z.infer<typeof labStatusSchema>;
export type NodeStatus = z.infer<typeof nodeStatusSchema>;
export type ProcessStatus = z.infer<typeof processStatusSchema>;
export type VipStatus = z.infer<typeof vipStatusSchema>;
export type SessionStatus = z.infer<typeof sessionStatusSchema>;
export type ServiceStatus = z.infer<typeof serviceStatusSchema>;
