import { isDeepStrictEqual } from "node:util";
import { familyOf, type Ip } from "#shared/net/ip.ts";
import type { Clock } from "#shared/process/clock.ts";
import type { Log } from "#shared/process/log.ts";
import type { IsUnreachable } from "#shared/resolve/health-checks.ts";
import { HealthThread, type HealthThreadOptions } from "./health-thread.ts";
import { type PlannedProbe, useOf } from "./plan-probes.ts";
import type { ProbeReport, WantedProbe } from "./probe-spec.ts";
import { groupOf, type ProberNews } from "./prober.ts";

/** One address of a target, as one question finds it. */
export interface TargetHealthStatus {
  readonly target: string;
  readonly network: string;
  readonly address: Ip;
  readonly port: number;
  readonly checks: readonly string[];
  readonly state: ProbeReport["state"];
  /** When it came into this state, in milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly falls: number;
  readonly message: string;
}

/** One family on a service network, and whether anybody who is asked answers there. */
export interface NetworkHealthStatus {
  readonly interface: string;
  readonly family: "IPv4" | "IPv6";
  readonly reachable: boolean;
}

export interface HealthMonitorOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Addresses that this instance did not reach when it last said so, by check (`namespace/name address`). */
  readonly remembered: ReadonlySet<string>;
  /** Who is reachable has changed. */
  readonly onChange: () => void;
  /** Who asks: a thread, except in tests. */
  readonly open?: (options: HealthThreadOptions) => Pick<HealthThread, "tell" | "close">;
}

interface Known extends ProbeReport {
  readonly sinceMs: number;
}

/** What this instance knows of the targets' health: asks by a thread, and answers for the tables. */
export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #thread: Pick<HealthThread, "tell" | "close">;
  #probes: readonly PlannedProbe[] = [];
  readonly #known = new Map<string, Known>();
  #partitioned: readonly string[] = [];
  /** Uses of probes whose targets get no packet. */
  #out: ReadonlySet<string> = new Set();

  constructor(options: HealthMonitorOptions) {
    const { log, open = (more) => new HealthThread(more) } = options;
    this.#options = options;
    this.#thread = open({ log, probes: () => this.#wanted(), onNews: (news) => this.#take(news) });
  }

  /** The probes there shall be; calling it again with the same costs little. @returns whether they are others than before. */
  plan(probes: readonly PlannedProbe[]): boolean {
    if (isDeepStrictEqual(probes, this.#probes)) return false;
    const before = this.#probes;
    const first = before.length === 0;
    const stateOfUse = new Map(
      before.flatMap(({ id, uses }) => uses.map((use) => [use, this.#known.get(id)] as const)),
    );
    const ports = new Set([...stateOfUse.keys()].map(portOf));
    const sinceMs = this.#options.clock.nowMs();
    const ids = new Set(probes.map(({ id }) => id));
    for (const probe of probes) {
      if (this.#known.has(probe.id)) continue;
      const earlier = probe.uses.map((use) => stateOfUse.get(use)).find((known) => known !== undefined);
      const remembered = first && probe.checks.some((c) => this.#options.remembered.has(`${c} ${probe.address}`));
      // Who joins others that are asked has to answer first. Where nobody was asked before, all are trusted at first.
      const state = remembered ? "down" : probe.uses.some((use) => ports.has(portOf(use))) ? "pending" : "up";
      this.#known.set(probe.id, { ...(earlier ?? { state, sinceMs, falls: 0, message: "" }), id: probe.id });
    }
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    this.#probes = probes;
    this.#count();
    this.#thread.tell();
    return true;
  }

  readonly isUnreachable: IsUnreachable = (service, port, address) => this.#out.has(useOf(service, port, address));

  statuses(): readonly TargetHealthStatus[] {
    return this.#probes.flatMap(({ id, target, network, address, port, checks }) => {
      const known = this.#known.get(id);
      if (known === undefined) return [];
      const { state, sinceMs, falls, message } = known;
      return [{ target, network, address, port, checks, state, sinceMs, falls, message }];
    });
  }

  networks(): readonly NetworkHealthStatus[] {
    const groups = new Map(this.#probes.map((probe) => [groupOf(probe), probe]));
    return [...groups].map(([group, { address, interface: device }]) => ({
      interface: device,
      family: familyOf(address) === 4 ? "IPv4" : "IPv6",
      reachable: !this.#partitioned.includes(group),
    }));
  }

  close(): Promise<void> {
    return this.#thread.close();
  }

  #wanted(): readonly WantedProbe[] {
    return this.#probes.map((probe) => ({ ...probe, initial: this.#known.get(probe.id)?.state ?? "pending" }));
  }

  #count(): void {
    this.#out = new Set(this.#probes.flatMap(({ id, uses }) => (this.#known.get(id)?.state === "up" ? [] : uses)));
  }

  #take({ reports, partitioned }: ProberNews): void {
    const { clock, log, onChange } = this.#options;
    const wereCutOff = this.#partitioned;
    this.#partitioned = partitioned;
    for (const group of partitioned) {
      if (!wereCutOff.includes(group)) log.warn({ group }, "no target answers: this instance is taken to be cut off");
    }
    for (const group of wereCutOff) if (!partitioned.includes(group)) log.info({ group }, "targets answer again");
    const probes = new Map(this.#probes.map((probe) => [probe.id, probe]));
    const sinceMs = clock.nowMs();
    let changed = !isDeepStrictEqual(partitioned, wereCutOff);
    for (const report of reports) {
      const probe = probes.get(report.id);
      const before = this.#known.get(report.id);
      // News of a probe that has been given up meanwhile.
      if (probe === undefined || before === undefined) continue;
      const same = before.state === report.state;
      this.#known.set(report.id, { ...report, sinceMs: same ? before.sinceMs : sinceMs });
      if (same) continue;
      changed = true;
      const { target, address, port, checks } = probe;
      const facts = { target, address, port, checks, state: report.state, was: before.state, falls: report.falls };
      const cutOff = partitioned.includes(groupOf(probe)) || wereCutOff.includes(groupOf(probe));
      if (cutOff) log.debug(facts, "target is not judged while the instance is cut off");
      else if (report.state === "down")
        log.warn({ ...facts, message: report.message }, "target is unhealthy: taken out");
      else log.info(facts, "target is healthy");
    }
    if (!changed) return;
    this.#count();
    onChange();
  }
}

/** The Service's port of a use. */
function portOf(use: string): string {
  return use.slice(0, use.lastIndexOf(" "));
}
