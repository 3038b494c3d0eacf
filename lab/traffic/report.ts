import { z } from "zod";
import { interruptionsSchema, renderInterruptions } from "./interruptions.ts";

/**
 * How an exchange ended; all but `answered` are lost. `timeout`: nothing came in time. `reset`: TCP reset on a connection
 * that stood. `refused`: RST to the SYN, or ICMP port unreachable. `unreachable`: no route, or ICMP said so. `closed`: the
 * other end closed without an answer. `corrupt`: an answer that is not to what was sent.
 */
const OUTCOMES = ["answered", "timeout", "reset", "refused", "unreachable", "closed", "corrupt"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** A held connection (or UDP flow) that broke. */
const brokenSchema = z.object({
  connection: z.int(),
  sourcePort: z.int(),
  /** Who had answered on it last; empty when nobody had. */
  target: z.string(),
  afterMs: z.int(),
  at: z.string(),
  outcome: z.enum(OUTCOMES).exclude(["answered"]),
});
export type Broken = z.infer<typeof brokenSchema>;

/** A held flow that another target answers. */
const movedSchema = z.object({
  connection: z.int(),
  sourcePort: z.int(),
  from: z.string(),
  to: z.string(),
  afterMs: z.int(),
  at: z.string(),
});
export type Moved = z.infer<typeof movedSchema>;

/** What `causeway traffic` has counted; `--json` prints it. */
export const trafficReportSchema = z.object({
  to: z.string(),
  protocol: z.enum(["tcp", "udp"]),
  sent: z.int(),
  answered: z.int(),
  /** sent - answered; the next six say how. */
  lost: z.int(),
  timeouts: z.int(),
  reset: z.int(),
  refused: z.int(),
  unreachable: z.int(),
  closed: z.int(),
  corrupt: z.int(),
  /** Tries that this machine had no port, memory or descriptor for; each was tried again and counts as nothing else. */
  localRetries: z.int(),
  durationMs: z.number(),
  ratePerSecond: z.number(),
  latencyMs: z.object({ p50: z.number(), p90: z.number(), p99: z.number(), max: z.number() }),
  /** Answers by target. */
  targets: z.record(z.string(), z.int()),
  /** Without `keep`: how well new connections were served all the time. */
  interruptions: interruptionsSchema.optional(),
  /** With `keep`: connections that were answered at least once, and which broke or moved. */
  held: z.int().optional(),
  broken: z.array(brokenSchema).optional(),
  moved: z.array(movedSchema).optional(),
});
export type TrafficReport = z.infer<typeof trafficReportSchema>;

const SAMPLE_LIMIT = 1_000_000;

/** Counts as the traffic goes. Memory is bounded: beyond a million answers latencies are a uniform sample. */
export class Tally {
  readonly #outcomes = new Map<Outcome, number>();
  readonly #targets = new Map<string, number>();
  readonly #latenciesMs: number[] = [];
  readonly #random: () => number;
  #worstMs = 0;
  localRetries = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  answered(target: string, latencyMs: number): void {
    this.#count("answered");
    this.#targets.set(target, (this.#targets.get(target) ?? 0) + 1);
    this.#worstMs = Math.max(this.#worstMs, latencyMs);
    if (this.#latenciesMs.length < SAMPLE_LIMIT) this.#latenciesMs.push(latencyMs);
    else {
      const slot = Math.floor(this.#random() * this.of("answered"));
      if (slot < SAMPLE_LIMIT) this.#latenciesMs[slot] = latencyMs;
    }
  }

  lost(outcome: Exclude<Outcome, "answered">): void {
    this.#count(outcome);
  }

  of(outcome: Outcome): number {
    return this.#outcomes.get(outcome) ?? 0;
  }

  get sent(): number {
    return OUTCOMES.reduce((sum, outcome) => sum + this.of(outcome), 0);
  }

  #count(outcome: Outcome): void {
    this.#outcomes.set(outcome, this.of(outcome) + 1);
  }

  report(to: string, protocol: "tcp" | "udp", durationMs: number): TrafficReport {
    const sorted = this.#latenciesMs.toSorted((a, b) => a - b);
    const percentile = (share: number) => round(sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0);
    const { sent } = this;
    const answered = this.of("answered");
    return {
      to,
      protocol,
      sent,
      answered,
      lost: sent - answered,
      timeouts: this.of("timeout"),
      reset: this.of("reset"),
      refused: this.of("refused"),
      unreachable: this.of("unreachable"),
      closed: this.of("closed"),
      corrupt: this.of("corrupt"),
      localRetries: this.localRetries,
      durationMs: Math.round(durationMs),
      ratePerSecond: durationMs === 0 ? 0 : Math.round((sent / durationMs) * 1000),
      latencyMs: { p50: percentile(0.5), p90: percentile(0.9), p99: percentile(0.99), max: round(this.#worstMs) },
      targets: Object.fromEntries([...this.#targets].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    };
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** A report as text. Pure. */
export function renderReport(report: TrafficReport): string {
  const reasons = (["timeouts", "reset", "refused", "unreachable", "closed", "corrupt"] as const)
    .filter((key) => report[key] > 0)
    .map((key) => `${report[key]} ${key}`);
  const { p50, p90, p99, max } = report.latencyMs;
  const lines = [
    `${report.protocol} ${report.to}: sent ${report.sent}, answered ${report.answered}, lost ${report.lost}${reasons.length === 0 ? "" : ` (${reasons.join(", ")})`}`,
    `in ${(report.durationMs / 1000).toFixed(2)} s, ${report.ratePerSecond}/s; latency ms: p50 ${p50}, p90 ${p90}, p99 ${p99}, max ${max}`,
  ];
  if (report.localRetries > 0)
    lines.push(`${report.localRetries} tries repeated for want of local ports, memory or descriptors`);
  for (const [target, count] of Object.entries(report.targets)) {
    lines.push(
      `  ${target.padEnd(24)} ${String(count).padStart(8)}  ${((count / report.answered) * 100).toFixed(1)} %`,
    );
  }
  if (report.interruptions !== undefined) lines.push(renderInterruptions(report.interruptions));
  if (report.held !== undefined) {
    const broken = report.broken ?? [];
    const whose = [...Map.groupBy(broken, ({ target }) => target || "nobody")].map(
      ([name, all]) => `${all.length} ${name}`,
    );
    const list = whose.length === 0 ? "" : ` (${whose.join(", ")})`;
    lines.push(`held ${report.held}, broken ${broken.length}${list}, moved ${report.moved?.length ?? 0}`);
  }
  for (const { connection, sourcePort, target, afterMs, outcome } of report.broken ?? []) {
    lines.push(`  broken: ${connection} (port ${sourcePort}) of ${target || "nobody"} after ${afterMs} ms: ${outcome}`);
  }
  for (const { connection, sourcePort, from, to, afterMs } of report.moved ?? []) {
    lines.push(`  moved: ${connection} (port ${sourcePort}) from ${from} to ${to} after ${afterMs} ms`);
  }
  return lines.join("\n");
}
